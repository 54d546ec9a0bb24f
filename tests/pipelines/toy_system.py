"""A system without networks: brightens frames. It shows what a system needs to be one."""

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from venhancer_jax.pipelines.continuation import Place
from venhancer_jax.pipelines.frame_times import OutputClock, output_clock
from venhancer_jax.pipelines.options import LOOK, EnhanceOptions, WeightOptions
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.segments import SegmentSizes
from venhancer_jax.pipelines.system import Clip, EnhancedSegment, Output, ProgramSpec, SystemSpec
from venhancer_jax.settings import number, whole
from venhancer_jax.sharding.mesh import replicated


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyOptions(EnhanceOptions):
    """Options of the toy."""

    brightness: int = whole(10, low=0, high=255, group=LOOK, about="what is added to each pixel")
    memory: float = number(
        0.0, low=0, high=1, group=LOOK, about="how much a frame is brightened by those before it"
    )
    delay: float = number(0.0, low=0, high=100, group=LOOK, about="seconds to wait at each frame")


@dataclasses.dataclass(frozen=True)
class ToyPlan:
    """Plan of a clip."""

    output: Output
    window_count: int = 1
    spilled: bool = False

    @property
    def working_size(self) -> tuple[int, int]:
        return self.output.size

    @property
    def window(self) -> int:
        return self.output.frames

    @property
    def work(self) -> int:
        return self.output.frames


@jax.jit
def brighten(frame: jax.Array, amount: jax.Array) -> jax.Array:
    return jnp.minimum(frame + amount, 255)


def brighter(frame: np.ndarray, amount: int) -> np.ndarray:
    """A frame, uint8 or uint16, brighter by so much of 255."""
    if frame.dtype == np.uint16:
        return np.minimum(frame.astype(np.int32) + 257 * amount, 65535).astype(np.uint16)
    return np.asarray(brighten(frame.astype(np.int32), amount)).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Toy:
    """The system."""

    mesh: Mesh | None
    options_class = ToyOptions

    def plan(self, clip: Clip, options: ToyOptions) -> ToyPlan:
        return ToyPlan(plan_output(clip, options))

    def prepare(self, options: Sequence[ToyOptions]) -> None:
        """Computes nothing."""

    def segment_sizes(self, rate: Fraction, options: ToyOptions) -> SegmentSizes:
        """Half of a window is shared, as far as it can be halved."""
        del rate
        overlap = options.window // 2
        return SegmentSizes(window=options.window, overlap=overlap, windows=options.segment_windows)

    def output_clock(
        self, rate: Fraction, time_base: Fraction | None, options: ToyOptions
    ) -> OutputClock:
        return output_clock(rate, time_base, options, 1)

    def enhance_segment(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: ToyOptions,
        place: Place,
        progress: Progress,
    ) -> EnhancedSegment:
        """The latents of a frame are the sum of the brightness of all frames of the scene."""
        del rate, progress
        known = place.known(1)
        sums = [] if known is None else list(known[0, : place.first - place.start, 0, 0, 0])
        if not sums and place.lead(1, 1) is not None:
            sums = list(place.lead(1, 1)[0, :, 0, 0, 0])
        seen, total, brightened = [], sums[-1] if sums else 0.0, []
        for i, frame in enumerate(frames, place.start):
            time.sleep(options.delay)
            if jax.process_count() > 1:
                multihost_utils.sync_global_devices("frame")
            if i >= place.first:
                total += float(frame.mean())
            seen.append(total if i >= place.first else sums[i - place.start])
            amount = options.brightness + round(options.memory * total)
            brightened.append(brighter(frame, amount))
        latents = jnp.asarray(np.array(seen, np.float32).reshape(1, -1, 1, 1, 1))
        finished = place.keep(latents, stride=1, window=options.window)
        first = place.first - place.start
        return EnhancedSegment(
            finished, lambda stop: iter(brightened[first : stop + 1 - place.start])
        )

    def programs(self, plan: ToyPlan, options: ToyOptions) -> list[ProgramSpec]:
        del options
        assert self.mesh is not None
        everywhere = replicated(self.mesh)
        frame = jax.ShapeDtypeStruct((*plan.output.size, 3), jnp.int32, sharding=everywhere)
        amount = jax.ShapeDtypeStruct((), jnp.int32, sharding=everywhere)
        return [
            ProgramSpec(
                name="brighten", function=brighten, arguments=(frame, amount), mesh=self.mesh,
                shards=1,
            )
        ]  # fmt: skip


def plan_output(clip: Clip, options: ToyOptions) -> Output:
    return Output(
        frames=clip.frames, size=(clip.height, clip.width), rate=options.output_rate(clip.rate)
    )


def load(folders: Mapping[str, Any], weights: WeightOptions, *, mesh: Mesh | None) -> Toy:
    assert not folders
    return Toy(mesh)


SPEC = SystemSpec(
    name="toy",
    options=ToyOptions,
    weights=WeightOptions,
    networks={},
    presets={"": {}},
    output=plan_output,
    checkpoints=lambda weights: {},
    load=load,
    load_abstract=lambda weights, *, mesh: Toy(mesh),
)
