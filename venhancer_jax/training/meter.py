"""How fast a run is: times, clips a second, and the share of the peak that is used."""

import dataclasses
import time
from typing import Any

import jax
import numpy as np

from venhancer_jax.training.data import DataIterator


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What there is to do, and with what.

    Attributes:
      flops: of one step on all devices.
      peak_flops: of one device, 0 if unknown.
    """

    flops: int = 0
    peak_flops: float = 0.0


class Meter:
    """Times since the last reading."""

    def __init__(self, work: Work):
        self._work = work
        self.restart()

    def restart(self) -> None:
        """Begins anew, to leave out what is no training."""
        self._since, self._waited, self._steps, self._clips = time.perf_counter(), 0.0, 0, 0

    def next(self, data: DataIterator) -> dict[str, np.ndarray]:
        """The next batch, of a step that counts; notes how long it took."""
        start = time.perf_counter()
        batch = next(data)
        self._waited += time.perf_counter() - start
        self._steps += 1
        self._clips += len(batch["video"]) * jax.process_count()
        return batch

    def read(self, metrics: dict[str, jax.Array]) -> dict[str, Any]:
        """Metrics from the device, which this waits for, and rates since the last time."""
        values: dict[str, Any] = dict(jax.device_get(metrics))
        seconds = time.perf_counter() - self._since
        a_step = seconds / self._steps
        per_device = self._work.flops / a_step / jax.device_count()
        values |= {
            "step_seconds": a_step,
            "data_wait_share": self._waited / seconds,
            "clips_per_second": self._clips / seconds,
            "tflops_per_device": per_device / 1e12,
        }
        if self._work.peak_flops:
            values["mfu"] = per_device / self._work.peak_flops
        self.restart()
        return values
