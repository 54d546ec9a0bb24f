"""Latents to frames a few at a time: chunks of frames, tiles of pixels, both blended."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from einops import rearrange

from venhancer_jax.pipelines.pieces import Box, Span, batches, blend
from venhancer_jax.pipelines.programs import PIECES
from venhancer_jax.pipelines.spilled import Video, read_frames
from venhancer_jax.sharding.mesh import constrain

Decode = Callable[[jax.Array], jax.Array]


def decode_chunks(
    decode: Decode,
    latents: Video,
    chunks: Sequence[Span],
    tiles: Callable[[tuple[int, ...]], Sequence[Box]],
    *,
    scale: int,
    batch: int = 1,
) -> Iterator[jax.Array]:
    """Decodes a clip a few frames at a time.

    Args:
      decode: `[n, f, h, w, C]` to `[n, f, H, W, 3]`, n chunks of frames each by itself.
      latents: `[1, F, h, w, C]`; channels may hold more than the latents.
      chunks: chunks of frames that are decoded together, in order.
      tiles: returns the tiles of a chunk of a shape `(f, h, w)`.
      scale: rows and columns of pixels for each one of the latents.
      batch: n, chunks that are decoded together.

    Yields:
      `[1, n, H, W, 3]`, the next frames, F in all.
    """
    stops = [*(chunk.start for chunk in chunks[1:]), latents.shape[1]]
    position, faded = 0, None
    for group in batches(chunks, batch, key=len):
        filled = [*group, *[group[-1]] * (batch - len(group))]
        pieces = jnp.concatenate([read_frames(latents, c.start, c.stop) for c in filled])
        boxes = tiles(pieces.shape[1:4])
        decoded = blend(lambda tile, _: decode(tile), pieces, boxes, scale=scale, axes=PIECES)
        for i, chunk in enumerate(group):
            frames, faded = _fade_in(
                decoded, i, chunk.weights, faded, stops[position] - chunk.start
            )
            position += 1
            yield frames


@partial(jax.jit, static_argnames="finished")
def _fade_in(
    decoded: jax.Array,
    index: int,
    weights: jax.Array,
    faded: jax.Array | None,
    finished: int,
) -> tuple[jax.Array, jax.Array]:
    """Adds a chunk to what is left of the chunks before it.

    Args:
      decoded: chunks `[n, f, H, W, 3]`.
      index: index of the chunk.
      weights: weight of each frame of the chunk, `[f]`.
      faded: weighted frames of earlier chunks `[1, o, H, W, 3]`, of the first o frames.
      finished: frames at the start of the chunk that no later chunk adds to.

    Returns:
      Finished frames `[1, finished, H, W, 3]`, and the others.
    """
    chunk = jax.lax.dynamic_index_in_dim(decoded, index, keepdims=True)
    # Frames of one chunk are wanted on every device.
    chunk = constrain(chunk, (None,) * 5) * rearrange(weights, "f -> f 1 1 1")
    if faded is not None:
        chunk = chunk.at[:, : faded.shape[1]].add(faded)
    return chunk[:, :finished], chunk[:, finished:]
