"""A system without networks: brightens frames. It shows what a system needs to be one."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from benchmarks.plain_system import spec_of
from benchmarks.robustness.sums_system import Sums, SumsOptions
from venhancer_jax.pipelines.options import LOOK
from venhancer_jax.pipelines.system import ProgramSpec
from venhancer_jax.settings import number, whole
from venhancer_jax.sharding.mesh import replicated


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyOptions(SumsOptions):
    """Options of the toy."""

    brightness: int = whole(10, low=0, high=255, group=LOOK, about="what is added to each pixel")
    memory: float = number(
        0.0, low=0, high=1, group=LOOK, about="how much a frame is brightened by those before it"
    )


@jax.jit
def brighten(frame: jax.Array, amount: jax.Array) -> jax.Array:
    return jnp.minimum(frame + amount, 255)


class Toy(Sums):
    """The system, with a program that is compiled, on all processes together."""

    options_class = ToyOptions

    def brightened(self, frame: np.ndarray, amount: int) -> np.ndarray:
        """A frame, uint8 or uint16, brighter by so much of 255."""
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("frame")
        if frame.dtype == np.uint16:
            return np.minimum(frame.astype(np.int32) + 257 * amount, 65535).astype(np.uint16)
        return np.asarray(brighten(frame.astype(np.int32), amount)).astype(np.uint8)

    def programs(self, plan: Any, options: Any) -> list[ProgramSpec]:
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


SPEC = spec_of("toy", Toy)
