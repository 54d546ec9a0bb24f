"""What the denoiser starts from and is conditioned on: noise, noised low-resolution frames."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.noise import NoiseSource
from venhancer_jax.diffusion.schedule import Schedule
from venhancer_jax.pipelines.encode import encode_frames
from venhancer_jax.pipelines.pieces import Box, take
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.upscale_a_video.plan import SCALE, UpscaleAVideoPlan
from venhancer_jax.sharding.mesh import num_shards
from venhancer_jax.video.resize import resize_bicubic


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


def input_latents(vae: LoadedNetwork, low_res: np.ndarray, plan: UpscaleAVideoPlan) -> jax.Array:
    """Encodes the enlarged input, of which the networks of this system see pixels alone.

    Args:
      vae: VAE, whose encoder nothing else uses.
      low_res: low-resolution frames of a tile, `[F, h, w, 3]` in [-1, 1].
      plan: plan of the clip, with the parts that a tile is encoded in.

    Returns:
      Latents `[1, F, h, w, C]` of the diffusion network.
    """
    height, width = low_res.shape[1:3]
    count, windows = num_shards("piece"), (plan.space.rows, plan.space.columns)
    if len(plan.space.tiles) > 1:
        windows = ((0, height),), ((0, width),)
    means = []
    for start in range(0, len(low_res), count):
        enlarged = resize_bicubic(low_res[start : start + count], (SCALE * height, SCALE * width))
        means.append(encode_frames(vae, list(enlarged), lambda _: windows).mean)
    return vae.config.scaling_factor * jnp.concatenate(means, axis=1)
