"""Latents to frames in bounded memory: chunks of frames, tiles of pixels, both blended."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.windowed import cross_fade, in_batches
from venhancer_jax.video.windows import Window, gaussian_weights, sliding_windows

# Frames of a chunk and those it shares with the next; latent sizes of tiles and of their overlaps.
# They are the official ones: the temporal decoder's result depends on the length of a chunk.
CHUNK_FRAMES, CHUNK_OVERLAP = 5, 2
TILE_SIZE = (72, 128)
TILE_OVERLAP = (12, 25)

Decode = Callable[[jax.Array], jax.Array]


def decode_stream(
    decode: Decode,
    latents: jax.Array,
    *,
    pixels_per_latent: int,
    at_once: int = 1,
    tile_size: tuple[int, int] = TILE_SIZE,
    tile_overlap: tuple[int, int] = TILE_OVERLAP,
) -> Iterator[jax.Array]:
    """Decodes a clip piece by piece.

    Args:
      decode: `[n, f, h, w, 4]` to `[n, f, H, W, 3]`, n chunks of frames each by itself.
      latents: `[1, F, h, w, 4]`.
      pixels_per_latent: height and width of a latent in pixels.
      at_once: n.
      tile_size: rows and columns of latents of a tile, the last one may be a third larger.
      tile_overlap: rows and columns that neighbouring tiles share.

    Yields:
      `[1, n, H, W, 3]`, the next frames, F in all.
    """
    chunks = sliding_windows(latents.shape[1], CHUNK_FRAMES, CHUNK_OVERLAP)

    def decode_chunks(latents: jax.Array, _: Sequence[Window]) -> jax.Array:
        return _decode_tiles(decode, latents, pixels_per_latent, tile_size, tile_overlap)

    decoded = in_batches(decode_chunks, latents, chunks, at_once)
    tail = None
    for frames, (start, end), after in zip(decoded, chunks, [*chunks[1:], None], strict=True):
        if tail is not None:
            shared = tail.shape[1]
            faded = cross_fade(tail, frames[:, :shared])
            frames = jnp.concatenate([faded, frames[:, shared:]], axis=1)
        done = end - start if after is None else after[0] - start
        tail = frames[:, done:]
        yield frames[:, :done]


def _decode_tiles(
    decode: Decode,
    latents: jax.Array,
    pixels: int,
    tile_size: tuple[int, int],
    tile_overlap: tuple[int, int],
) -> jax.Array:
    """Decodes chunks tile by tile, joined under Gaussian weights."""
    n, f, height, width, _ = latents.shape
    rows = sliding_windows(height, tile_size[0], tile_overlap[0])
    columns = sliding_windows(width, tile_size[1], tile_overlap[1])
    if len(rows) == len(columns) == 1:
        return decode(latents)
    total = jnp.zeros((n, f, height * pixels, width * pixels, 3))
    weights = np.zeros((height * pixels, width * pixels, 1))
    for top, bottom in rows:
        for left, right in columns:
            tile = decode(latents[:, :, top:bottom, left:right])
            weight = gaussian_weights(*tile.shape[2:4])[..., None]
            at = top * pixels, left * pixels
            total = _add(total, tile, weight.astype(np.float32), at)
            weights[top * pixels : bottom * pixels, left * pixels : right * pixels] += weight
    return total / weights.astype(np.float32)


@partial(jax.jit, donate_argnums=0)
def _add(
    total: jax.Array, tile: jax.Array, weight: jax.Array, at: tuple[jax.Array, jax.Array]
) -> jax.Array:
    """Adds a weighted tile to its place."""
    corner = (0, 0, *at, 0)
    there = jax.lax.dynamic_slice(total, corner, tile.shape)
    return jax.lax.dynamic_update_slice(total, there + tile * weight, corner)
