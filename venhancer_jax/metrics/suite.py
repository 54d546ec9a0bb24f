"""All metrics by name, computed while frames stream."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.metrics.lpips import load_lpips, lpips
from venhancer_jax.metrics.psnr import decibels, mean_squared_error, psnr
from venhancer_jax.metrics.ssim import ms_ssim, ssim
from venhancer_jax.metrics.temporal import flicker, tof, warping_error
from venhancer_jax.metrics.vmaf import require_ffmpeg
from venhancer_jax.video.colour.levels import luma

Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _mean(values: Sequence[float]) -> float | None:
    numbers = [value for value in values if not math.isnan(value)]
    return float(np.mean(numbers)) if numbers else None


def _decibels(errors: Sequence[float]) -> float:
    return float(decibels(float(np.mean(errors))))


def _on_luma(measure: Measure) -> Measure:
    return lambda pred, target: measure(luma(pred), luma(target))


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric of a clip, pooled from values of its frames.

    Attributes:
      measure: function from `frames` successive frames and their targets `[frames, H, W, 3]` to one
        value; None for a metric that is not computed frame by frame.
      frames: number of frames of one value.
      pool: function from the values of all frames to that of the clip, None for no value.
      check: function that raises `InputError` when an optional package is missing.
    """

    measure: Measure | None
    frames: int = 1
    pool: Callable[[Sequence[float]], float | None] = _mean
    check: Callable[[], object] = lambda: None


METRICS = {
    "psnr": Metric(measure=mean_squared_error, pool=_decibels),
    "psnr_y": Metric(measure=_on_luma(mean_squared_error), pool=_decibels),
    "psnr_frames": Metric(measure=psnr),
    "ssim": Metric(measure=ssim),
    "ssim_y": Metric(measure=_on_luma(ssim)),
    "ms_ssim": Metric(measure=_on_luma(ms_ssim)),
    "lpips": Metric(measure=lpips, check=load_lpips),
    "vmaf": Metric(measure=None, check=require_ffmpeg),
    "warping_error": Metric(measure=warping_error, frames=2),
    "tof": Metric(measure=tof, frames=2),
    "flicker": Metric(measure=flicker, frames=3),
    "lr_consistency": Metric(measure=None),
}
DEFAULT = ("psnr", "ssim", "lpips", "vmaf", "warping_error", "tof", "flicker")


@dataclass
class ClipScore:
    """Scores of one clip, whose frames are added one after the other.

    At most three pairs of frames are in memory, as many as the widest metric needs.

    Attributes:
      names: keys of `METRICS`; metrics that are not computed frame by frame are skipped.
    """

    names: Sequence[str]
    _recent: deque[tuple[np.ndarray, np.ndarray]] = field(default_factory=lambda: deque(maxlen=3))
    _values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, pred: np.ndarray, target: np.ndarray) -> None:
        """Measures the next frame.

        Args:
          pred: frame of the result `[H, W, 3]`, uint8 or floats from 0 to 1.
          target: frame of the target `[H, W, 3]`, uint8 or floats from 0 to 1.
        """
        self._recent.append((pred, target))
        for name in self.names:
            metric = METRICS[name]
            if metric.measure is None or len(self._recent) < metric.frames:
                continue
            preds, targets = zip(*list(self._recent)[-metric.frames :], strict=True)
            (value,) = metric.measure(np.stack(preds), np.stack(targets))
            self._values.setdefault(name, []).append(float(value))

    def results(self) -> dict[str, float | None]:
        """Returns the clip's value of each metric, None where the clip is too short for one."""
        values = {name: self._values.get(name, []) for name in self.names if METRICS[name].measure}
        return {name: METRICS[name].pool(of) if of else None for name, of in values.items()}


def choose(wanted: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Chooses metrics.

    Args:
      wanted: names of metrics, or None for those of `DEFAULT` whose packages are installed.

    Returns:
      Names, and a message for each default that is skipped.

    Raises:
      InputError: a name is unknown or repeated, or its package is not installed.
    """
    if wanted is None:
        names, missing = [], []
        for name in DEFAULT:
            try:
                METRICS[name].check()
                names.append(name)
            except InputError as error:
                missing.append(f"{name} is skipped: {error}")
        return names, missing
    for name in wanted:
        if name not in METRICS:
            raise InputError(f"metric {name!r}: expected some of {', '.join(METRICS)}.")
        if wanted.count(name) > 1:
            raise InputError(f"metric {name!r}: requested twice.")
        METRICS[name].check()
    return list(wanted), []
