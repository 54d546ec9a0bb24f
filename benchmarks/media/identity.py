"""A system without networks, which enlarges by whole factors and blends frames between frames.

It has windows, segments and a grid like any other, so that all of reading, segmenting, resuming and
writing runs as it does with networks, and the pictures of the output are known.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from jax.sharding import Mesh

from venhancer_jax.pipelines.continuation import Place
from venhancer_jax.pipelines.frame_times import OutputClock, output_clock
from venhancer_jax.pipelines.options import EnhanceOptions, WeightOptions
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.segments import SegmentSizes
from venhancer_jax.pipelines.system import Clip, EnhancedSegment, Output, ProgramSpec, SystemSpec


@dataclasses.dataclass(frozen=True)
class _Plan:
    output: Output
    window: int
    window_count: int = 1
    spilled: bool = False

    @property
    def working_size(self) -> tuple[int, int]:
        return self.output.size

    @property
    def work(self) -> int:
        return self.output.frames


@dataclasses.dataclass(frozen=True)
class Identity:
    """The system."""

    mesh: Mesh | None
    options_class = EnhanceOptions

    def plan(self, clip: Clip, options: EnhanceOptions) -> _Plan:
        return _Plan(_output(clip, options), options.window)

    def prepare(self, options: Sequence[EnhanceOptions]) -> None:
        """Computes nothing."""

    def segment_sizes(self, rate: Fraction, options: EnhanceOptions) -> SegmentSizes:
        stride = _stride(rate, options)
        return SegmentSizes(window=options.window, overlap=1, windows=1, stride=stride)

    def output_clock(
        self, rate: Fraction, time_base: Fraction | None, options: EnhanceOptions
    ) -> OutputClock:
        return output_clock(rate, time_base, options, _stride(rate, options))

    def enhance(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: EnhanceOptions,
        progress: Progress | None = None,
    ) -> Iterator[np.ndarray]:
        del rate, progress
        return (_enlarged(frame, options) for frame in frames)

    def enhance_segment(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: EnhanceOptions,
        place: Place,
        progress: Progress,
    ) -> EnhancedSegment:
        del progress
        kept = list(frames)[place.first - place.start :]
        stride = _stride(rate, options)

        def decode(stop: int) -> Iterator[np.ndarray]:
            for index, frame in enumerate(kept):
                after = kept[min(index + 1, len(kept) - 1)].astype(np.float32)
                for part in range(stride if index < stop - place.first else 1):
                    blended = np.rint(frame + (after - frame) * (part / stride))
                    yield _enlarged(blended.astype(frame.dtype), options)

        return EnhancedSegment(None, decode)

    def programs(self, plan: Any, options: Any) -> list[ProgramSpec]:
        del plan, options
        return []


def _stride(rate: Fraction, options: EnhanceOptions) -> int:
    return max(1, math.ceil(options.output_rate(rate) / rate))


def _enlarged(frame: np.ndarray, options: EnhanceOptions) -> np.ndarray:
    return frame.repeat(round(options.up_scale), 0).repeat(round(options.up_scale), 1)


def _output(clip: Clip, options: EnhanceOptions) -> Output:
    rate, scale = options.output_rate(clip.rate), round(options.up_scale)
    frames = max(1, round(clip.frames * rate / clip.rate))
    return Output(frames=frames, size=(clip.height * scale, clip.width * scale), rate=rate)


def _load(folders: Mapping[str, Any], weights: WeightOptions, *, mesh: Mesh | None) -> Identity:
    del folders, weights
    return Identity(mesh)


SPEC = SystemSpec(
    name="identity",
    options=EnhanceOptions,
    weights=WeightOptions,
    networks={},
    presets={"": {}},
    output=_output,
    checkpoints=lambda weights: {},
    load=_load,
    load_abstract=lambda weights, *, mesh: Identity(mesh),
)
