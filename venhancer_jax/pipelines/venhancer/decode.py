"""Latents to frames in bounded memory: chunks of frames, tiles of pixels, both blended."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import jax

from venhancer_jax.pipelines.decode import Decode, decode_chunks
from venhancer_jax.pipelines.pieces import (
    Box,
    Span,
    even_windows,
    faded_spans,
    gaussian_spans,
    sliding_windows,
    whole_span,
)

# Frames of a chunk and those that neighbours share; latent sizes of tiles and of their overlaps.
# They are the published ones: the temporal decoder's result depends on the length of a chunk.
CHUNK_FRAMES, CHUNK_OVERLAP = 5, 2
TILE_SIZE = (72, 128)
TILE_OVERLAP = (12, 25)
# Offsets of the centres of the published tile weights, in pixels.
_CENTRES = (0.0, -0.5)


def chunk_spans(frames: int, *, equal: bool) -> list[Span]:
    """Cuts a clip into chunks of frames that are decoded together."""
    return faded_spans(_windows(equal)(frames, CHUNK_FRAMES, CHUNK_OVERLAP))


def tile_boxes(
    shape: tuple[int, ...],
    *,
    scale: int,
    equal: bool,
    size: tuple[int, int] = TILE_SIZE,
    overlap: tuple[int, int] = TILE_OVERLAP,
) -> list[Box]:
    """Cuts a chunk into tiles.

    Args:
      shape: frames, rows and columns of the latents.
      scale: rows and columns of pixels for each one of the latents.
      equal: whether all tiles have one size; else the last ones are up to a third larger.
      size: rows and columns of a tile.
      overlap: rows and columns that neighbouring tiles share.
    """
    frames, *sides = shape
    rows, columns = (
        gaussian_spans(_windows(equal)(side, most, shared), scale=scale, middle=middle)
        for side, most, shared, middle in zip(sides, size, overlap, _CENTRES, strict=True)
    )
    whole = whole_span(frames)
    return [Box(whole, row, column) for row in rows for column in columns]


def decode_stream(
    decode: Decode,
    latents: jax.Array,
    *,
    scale: int,
    equal: bool = True,
    batch: int = 1,
    tile_size: tuple[int, int] = TILE_SIZE,
    tile_overlap: tuple[int, int] = TILE_OVERLAP,
) -> Iterator[jax.Array]:
    """Decodes a clip a few frames at a time.

    Args:
      decode: `[n, f, h, w, C]` to `[n, f, H, W, 3]`, n chunks of frames each by itself.
      latents: `[1, F, h, w, C]`.
      scale: rows and columns of pixels for each one of the latents.
      equal: whether chunks and tiles have one size each; else the last ones are longer.
      batch: n, chunks that are decoded together.
      tile_size: rows and columns of latents of a tile.
      tile_overlap: rows and columns of latents that neighbouring tiles share.

    Returns:
      An iterator of `[1, n, H, W, 3]`, the next frames, F in all.
    """
    boxes = partial(tile_boxes, scale=scale, equal=equal, size=tile_size, overlap=tile_overlap)
    chunks = chunk_spans(latents.shape[1], equal=equal)
    return decode_chunks(decode, latents, chunks, boxes, scale=scale, batch=batch)


def _windows(equal: bool) -> Callable[[int, int, int], Sequence[tuple[int, int]]]:
    return even_windows if equal else sliding_windows
