"""A system without networks, which enlarges by whole factors and blends frames between frames.

It has windows, segments and a grid like any other, so that all of reading, segmenting, resuming and
writing runs as it does with networks, and the pictures of the output are known.
"""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

from benchmarks.plain_system import PlainSystem, spec_of
from venhancer_jax.pipelines.continuation import Place
from venhancer_jax.pipelines.options import EnhanceOptions
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.segments import SegmentSizes
from venhancer_jax.pipelines.system import Clip, EnhancedSegment, Output


class Identity(PlainSystem):
    """The system."""

    @classmethod
    def output(cls, clip: Clip, options: EnhanceOptions) -> Output:
        rate, scale = options.output_rate(clip.rate), round(options.up_scale)
        frames = max(1, round(clip.frames * rate / clip.rate))
        return Output(frames=frames, size=(clip.height * scale, clip.width * scale), rate=rate)

    @staticmethod
    def stride(rate: Fraction, options: EnhanceOptions) -> int:
        return max(1, math.ceil(options.output_rate(rate) / rate))

    def segment_sizes(self, rate: Fraction, options: EnhanceOptions) -> SegmentSizes:
        stride = self.stride(rate, options)
        return SegmentSizes(window=options.window, overlap=1, windows=1, stride=stride)

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
        stride = self.stride(rate, options)

        def decode(stop: int) -> Iterator[np.ndarray]:
            for index, frame in enumerate(kept):
                after = kept[min(index + 1, len(kept) - 1)].astype(np.float32)
                for part in range(stride if index < stop - place.first else 1):
                    blended = np.rint(frame + (after - frame) * (part / stride))
                    yield _enlarged(blended.astype(frame.dtype), options)

        return EnhancedSegment(None, decode)


def _enlarged(frame: np.ndarray, options: EnhanceOptions) -> np.ndarray:
    return frame.repeat(round(options.up_scale), 0).repeat(round(options.up_scale), 1)


SPEC = spec_of("identity", Identity)
