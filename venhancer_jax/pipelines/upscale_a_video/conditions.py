"""What the denoiser starts from and is conditioned on: noise, noised low-resolution frames."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from venhancer_jax.diffusion.noise import NoiseSource
from venhancer_jax.diffusion.schedule import Schedule
from venhancer_jax.pipelines.pieces import Box, take


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Start and conditions of a tile.

    Attributes:
      start: noise at the first time step, `[1, F, h, w, 4]`.
      low_res: noised low-resolution frames `[1, F, h, w, 3]`.
      noise_level: level of the noise in `low_res`.
    """

    start: jax.Array
    low_res: jax.Array
    noise_level: int

    def for_windows(self, boxes: Sequence[Box]) -> dict[str, jax.Array]:
        """Returns the conditions of n windows: low_res, label."""
        return {
            "low_res": jnp.concatenate([take(self.low_res, box) for box in boxes]),
            "label": jnp.full(len(boxes), self.noise_level),
        }


def compute_conditions(
    low_res: jax.Array,
    tile: int,
    channels: int,
    schedule: Schedule,
    noise: NoiseSource,
    noise_level: int,
) -> Conditions:
    """Computes start and conditions of a tile.

    Args:
      low_res: low-resolution frames `[1, F, h, w, 3]` in [-1, 1].
      tile: index of the tile, each of which has noise of its own.
      channels: channels of the latents.
      schedule: noise levels of the low-resolution frames.
      noise: source of all noise.
      noise_level: level of the noise on the low-resolution frames.
    """
    noised = schedule.add_noise(low_res, noise("low_res", tile, low_res.shape), noise_level)
    start = noise("start", tile, (*low_res.shape[:-1], channels))
    return Conditions(start, noised, noise_level)
