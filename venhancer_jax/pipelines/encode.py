"""Frames to latents: one frame per device at a time, in tiles."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from venhancer_jax.models.autoencoders.vae import DiagonalGaussian
from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.pieces import Box, Window, blend, whole_span
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.tiles import tile_boxes
from venhancer_jax.sharding.mesh import num_shards, put_sharded

Windows = tuple[Sequence[Window], Sequence[Window]]


def encode_frames(
    vae: LoadedNetwork,
    frames: Sequence[np.ndarray],
    windows: Callable[[tuple[int, int]], Windows],
) -> DiagonalGaussian:
    """Encodes one frame per device to raw latents `[1, n, h, w, C]`; copies fill idle devices.

    Args:
      vae: VAE.
      frames: n frames `[H, W, 3]` float32 in [-1, 1], no more than devices encode together.
      windows: function from rows and columns of the latents to the windows of both, which tiles
        are the products of.
    """
    filled = [*frames, *[frames[-1]] * (num_shards("piece") - len(frames))]
    pieces = put_sharded(np.stack(filled)[:, None], programs.PIECES)
    pixels = vae.config.pixels_per_latent
    height, width = (side // pixels for side in pieces.shape[2:4])
    boxes = tile_boxes([whole_span(1)], *windows((height, width)))
    if len(boxes) == 1:
        posterior = programs.encode(vae.network, vae.params, pieces)
    else:
        posterior = _encode_tiles(vae, jnp.asarray(pieces), boxes)
    return jax.tree.map(lambda x: x[: len(frames), 0][None], posterior)


def _encode_tiles(vae: LoadedNetwork, frames: jax.Array, boxes: Sequence[Box]) -> DiagonalGaussian:
    """Encodes frames `[n, 1, H, W, 3]` tile by tile, and blends what describes the latents."""
    pixels = vae.config.pixels_per_latent

    def moments(patches: jax.Array, _: Sequence[Box]) -> jax.Array:
        posterior = programs.encode(vae.network, vae.params, _from_patches(patches, pixels))
        return jnp.concatenate([posterior.mean, posterior.log_variance], axis=-1)

    blended = blend(moments, _to_patches(frames, pixels), boxes, axes=programs.PIECES)
    return DiagonalGaussian(*jnp.split(blended, 2, axis=-1))


# A latent and the pixels that it stands for have one position: tiles of both are cut alike.
@functools.partial(jax.jit, static_argnames="pixels")
def _to_patches(frames: jax.Array, pixels: int) -> jax.Array:
    """Rearranges `[n, 1, H, W, 3]` to patches `[n, 1, h, w, 3 pixels^2]`."""
    return rearrange(frames, "n f (h y) (w x) c -> n f h w (y x c)", y=pixels, x=pixels)


@functools.partial(jax.jit, static_argnames="pixels")
def _from_patches(patches: jax.Array, pixels: int) -> jax.Array:
    """Rearranges patches `[n, 1, h, w, 3 pixels^2]` to `[n, 1, H, W, 3]`."""
    return rearrange(patches, "n f h w (y x c) -> n f (h y) (w x) c", y=pixels, x=pixels)
