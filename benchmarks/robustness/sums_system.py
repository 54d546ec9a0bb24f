"""A system without networks, for measurements of what surrounds them.

Frames are brightened by what was seen of the scene before them, so that a segment which continues
another one wrongly shows.
"""

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from venhancer_jax.pipelines.continuation import Place
from venhancer_jax.pipelines.frame_times import OutputClock, output_clock
from venhancer_jax.pipelines.options import LOOK, EnhanceOptions, WeightOptions
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.registry import SYSTEMS
from venhancer_jax.pipelines.segments import SegmentSizes
from venhancer_jax.pipelines.system import Clip, EnhancedSegment, Output, SystemSpec
from venhancer_jax.settings import number

NAME = "sums"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SumsOptions(EnhanceOptions):
    """Options of the system."""

    delay: float = number(0.0, low=0, high=100, group=LOOK, about="seconds to wait at each frame")


@dataclasses.dataclass(frozen=True)
class SumsPlan:
    """Plan of a clip, which is one window."""

    output: Output
    window_count: int = 1
    spilled: bool = False

    @property
    def working_size(self) -> tuple[int, int]:
        """Returns the size of the output."""
        return self.output.size

    @property
    def window(self) -> int:
        """Returns the number of frames."""
        return self.output.frames

    @property
    def work(self) -> int:
        """Returns the number of frames."""
        return self.output.frames


@dataclasses.dataclass(frozen=True)
class Sums:
    """The system; the latents of a frame are the sum of the levels of its scene up to it."""

    mesh: Mesh | None
    options_class = SumsOptions

    def plan(self, clip: Clip, options: SumsOptions) -> SumsPlan:
        """Plans the enhancement of a clip."""
        return SumsPlan(_output(clip, options))

    def prepare(self, options: Sequence[SumsOptions]) -> None:
        """Computes nothing."""

    def segment_sizes(self, rate: Fraction, options: SumsOptions) -> SegmentSizes:
        """Returns how a clip is cut into segments; windows share half of their frames."""
        del rate
        overlap = options.window // 2
        return SegmentSizes(window=options.window, overlap=overlap, windows=options.segment_windows)

    def output_clock(
        self, rate: Fraction, time_base: Fraction | None, options: SumsOptions
    ) -> OutputClock:
        """Returns the times at which the frames of the output are shown."""
        return output_clock(rate, time_base, options, 1)

    def enhance_segment(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: SumsOptions,
        place: Place,
        progress: Progress,
    ) -> EnhancedSegment:
        """Brightens the frames of a segment."""
        del rate, progress
        known = place.known(1)
        sums = [] if known is None else known[0, : place.first - place.start, 0, 0, 0].tolist()
        lead = place.lead(1, 1)
        total = sums[-1] if sums else 0.0 if lead is None else float(lead.sum())
        brightened = []
        for index, frame in enumerate(frames, place.start):
            time.sleep(options.delay)
            if index >= place.first:
                total = np.float32(total + frame.mean() / 16)
                sums.append(total)
            amount = round(float(sums[index - place.start])) % 64
            brightened.append(np.minimum(frame.astype(int) + amount, 255).astype(np.uint8))
        latents = jnp.asarray(np.array(sums, np.float32).reshape(1, -1, 1, 1, 1))
        finished = place.keep(latents, stride=1, window=options.window)
        first = place.first - place.start
        return EnhancedSegment(
            finished, lambda stop: iter(brightened[first : stop + 1 - place.start])
        )


def _output(clip: Clip, options: SumsOptions) -> Output:
    return Output(
        frames=clip.frames, size=(clip.height, clip.width), rate=options.output_rate(clip.rate)
    )


def _load(folders: Mapping[str, Any], weights: WeightOptions, *, mesh: Mesh | None) -> Sums:
    del folders, weights
    return Sums(mesh)


SPEC = SystemSpec(
    name=NAME,
    options=SumsOptions,
    weights=WeightOptions,
    networks={},
    presets={"": {}},
    output=_output,
    checkpoints=lambda weights: {},
    load=_load,  # type: ignore[arg-type]
    load_abstract=lambda weights, *, mesh: Sums(mesh),  # type: ignore[arg-type,return-value]
)
# Config file of the command line.
CONFIG = f"""
import benchmarks.robustness.sums_system
from venhancer_jax.pipelines.config import enhancement_config

def get_config():
    return enhancement_config("{NAME}").lock()
"""
SYSTEMS[NAME] = "benchmarks.robustness.sums_system"
