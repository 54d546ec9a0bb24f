"""Latents to frames in bounded memory: chunks of frames, tiles of pixels, both blended."""

import dataclasses
from collections.abc import Iterator

import jax

from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.pipelines.decode import Decode, decode_chunks
from venhancer_jax.pipelines.pieces import (
    Box,
    Span,
    even_windows,
    faded_spans,
    gaussian_spans,
    sliding_windows,
    symmetric_spans,
    whole_span,
)
from venhancer_jax.pipelines.spilled import Video
from venhancer_jax.pipelines.tiles import Tiling, tile_boxes
from venhancer_jax.pipelines.venhancer.options import ControlledOptions
from venhancer_jax.pipelines.venhancer.tiling import decoder_tiling

# Frames of a chunk of a temporal decoder, and those that neighbours share.
CHUNK_FRAMES, CHUNK_OVERLAP = 5, 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderPieces:
    """Chunks and tiles of one size each, which share as little as the decoder needs.

    Attributes:
      scale: rows and columns of pixels for each one of the latents.
      tiling: sizes of tiles, in latents.
      chunk: most frames of a chunk; a third more is allowed where one chunk is then enough.
      overlap: least number of frames that neighbouring chunks share.
    """

    scale: int
    tiling: Tiling
    chunk: int = CHUNK_FRAMES
    overlap: int = CHUNK_OVERLAP

    def chunks(self, frames: int) -> list[Span]:
        """Cuts a clip into chunks of frames that are decoded together."""
        return symmetric_spans(even_windows(frames, self.chunk, self.overlap))

    def tiles(self, shape: tuple[int, ...]) -> list[Box]:
        """Cuts a chunk of latents `(f, h, w)` into tiles."""
        frames, height, width = shape
        rows, columns = self.tiling.windows((height, width))
        return tile_boxes([whole_span(frames)], rows, columns, scale=self.scale)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishedPieces:
    """Chunks and tiles of the published program, of which the last ones are larger.

    Attributes:
      scale: rows and columns of pixels for each one of the latents.
      size: rows and columns of latents of a tile.
      shared: rows and columns of latents that neighbouring tiles share.
      overlap: frames that neighbouring chunks share.
    """

    scale: int
    size: tuple[int, int] = (72, 128)
    shared: tuple[int, int] = (12, 25)
    overlap: int = CHUNK_OVERLAP

    def chunks(self, frames: int) -> list[Span]:
        """Cuts a clip into chunks of frames that are decoded together."""
        return faded_spans(sliding_windows(frames, CHUNK_FRAMES, self.overlap))

    def tiles(self, shape: tuple[int, ...]) -> list[Box]:
        """Cuts a chunk of latents `(f, h, w)` into tiles."""
        frames, *sides = shape
        # Centres of the published weights are half a pixel to the left.
        rows, columns = (
            gaussian_spans(sliding_windows(side, most, shared), scale=self.scale, middle=middle)
            for side, most, shared, middle in zip(
                sides, self.size, self.shared, (0.0, -0.5), strict=True
            )
        )
        return [Box(whole_span(frames), row, column) for row in rows for column in columns]


def decoder_pieces(vae: VAEConfig, options: ControlledOptions) -> DecoderPieces | PublishedPieces:
    """Returns how a clip is cut for a decoder.

    A decoder of single frames decodes each by itself, and none twice.
    """
    scale = vae.pixels_per_latent
    if not options.quirks.equal_tiles:
        return PublishedPieces(scale=scale)
    joint = vae.temporal_decoder or vae.norm_over_frames
    chunk = options.decode_chunk or (CHUNK_FRAMES if joint else 1)
    return DecoderPieces(
        scale=scale,
        chunk=chunk,
        overlap=min(CHUNK_OVERLAP, chunk - 1) if joint else 0,
        tiling=decoder_tiling(vae).requested(options.tile, options.tile_overlap, scale),
    )


def decode_stream(
    decode: Decode,
    latents: Video,
    pieces: DecoderPieces | PublishedPieces,
    *,
    batch: int = 1,
) -> Iterator[jax.Array]:
    """Decodes a clip a few frames at a time.

    Args:
      decode: `[n, f, h, w, C]` to `[n, f, H, W, 3]`, n chunks of frames each by itself.
      latents: `[1, F, h, w, C]`.
      pieces: chunks and tiles.
      batch: n, chunks that are decoded together.

    Returns:
      An iterator of `[1, n, H, W, 3]`, the next frames, F in all.
    """
    chunks = pieces.chunks(latents.shape[1])
    return decode_chunks(decode, latents, chunks, pieces.tiles, scale=pieces.scale, batch=batch)
