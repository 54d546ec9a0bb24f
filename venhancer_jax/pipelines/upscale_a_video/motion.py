"""The optical flow of a clip, and the propagation of clean latents along it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.propagation import propagate
from venhancer_jax.diffusion.solvers import Refine
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions
from venhancer_jax.pipelines.upscale_a_video.plan import Tile

# Frames of this size have more than one pixel on each level of the pyramid of RAFT.
LEAST_SIDE = 128


@dataclasses.dataclass(frozen=True)
class Flows:
    """Optical flow between neighbouring frames, in pixels of the low-resolution frames.

    Attributes:
      forward: displacements `[F - 1, h, w, 2]` from each frame to the next, columns then rows.
      backward: displacements `[F - 1, h, w, 2]` from each frame to the one before.
    """

    forward: np.ndarray | jax.Array
    backward: np.ndarray | jax.Array

    def crop(self, tile: Tile) -> "Flows":
        """Returns the flows of the pixels of a tile."""
        rows, columns = slice(*tile.rows), slice(*tile.columns)
        return Flows(self.forward[:, rows, columns], self.backward[:, rows, columns])


def check_flow(raft: LoadedNetwork | None, options: UpscaleAVideoOptions) -> None:
    """Checks that there is an optical flow to propagate along.

    Raises:
      InputError: propagation without the weights of the optical flow.
    """
    if options.propagation_steps and options.flow == "raft" and raft is None:
        raise InputError(
            f"propagation_steps {options.propagation_steps}: expected the weights of RAFT; set"
            " --config.flow_checkpoint=FILE, or --config.flow=dis, which needs none"
        )


def refiner(flows: Flows, options: UpscaleAVideoOptions) -> Refine:
    """Returns the propagation of clean latents `[1, F, h, w, C]` at the requested steps."""
    forward, backward = jnp.asarray(flows.forward), jnp.asarray(flows.backward)

    def refine(x0: jax.Array, step: int) -> jax.Array:
        return propagate(x0, forward, backward) if step in options.propagation_steps else x0

    return refine


def compute_flows(raft, source, options, progress):
    raise NotImplementedError


def flow_specs(raft, plan, options, build):
    return []
