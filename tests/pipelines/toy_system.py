"""A system without networks: brightens frames. It shows what a system needs to be one."""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from venhancer_jax.pipelines.options import LOOK, EnhanceOptions, WeightOptions
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.system import Clip, Output, ProgramSpec, SystemSpec
from venhancer_jax.settings import number, whole
from venhancer_jax.sharding.mesh import replicated


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyOptions(EnhanceOptions):
    """Options of the toy."""

    brightness: int = whole(10, low=0, high=255, group=LOOK, about="what is added to each pixel")
    delay: float = number(0.0, low=0, high=100, group=LOOK, about="seconds to wait at each frame")


@dataclasses.dataclass(frozen=True)
class ToyPlan:
    """Plan of a clip."""

    output: Output
    window_count: int = 1

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


@dataclasses.dataclass(frozen=True)
class Toy:
    """The system."""

    mesh: Mesh | None
    options_class = ToyOptions

    def plan(self, clip: Clip, options: ToyOptions) -> ToyPlan:
        return ToyPlan(plan_output(clip, options))

    def prepare(self, options: Sequence[ToyOptions]) -> None:
        """Computes nothing."""

    def enhance(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: ToyOptions,
        progress: Progress | None = None,
    ) -> Iterator[np.ndarray]:
        del rate, progress
        for frame in frames:
            time.sleep(options.delay)
            if jax.process_count() > 1:
                multihost_utils.sync_global_devices("frame")
            yield np.asarray(brighten(frame.astype(np.int32), options.brightness)).astype(np.uint8)

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
