"""Latents of tiles to finished frames: decode, join, correct colours, resize."""

from collections.abc import Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.decode import decode_chunks
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.upscale_a_video.plan import SCALE, SpacePlan, Tile
from venhancer_jax.pipelines.upscale_a_video.source import Source
from venhancer_jax.sharding.mesh import constrain, put_sharded
from venhancer_jax.video import resize
from venhancer_jax.video.colour.colour_fix import correct_colours


def decode_tiles(
    vae: LoadedNetwork, latents: Sequence[jax.Array], source: Source, *, batch: int
) -> Iterator[jax.Array]:
    """Decodes a clip a few frames at a time.

    Args:
      vae: VAE.
      latents: clean latents `[1, F, h, w, C]` of each tile.
      source: low-resolution frames, and the plan of the clip.
      batch: chunks of frames that are decoded together.

    Yields:
      The next n frames `[n, H, W, 3]` in [-1, 1], with the padding of the plan.
    """
    plan = source.plan
    seen = vae.config.condition_channels > 0
    low_res = source.padded()[None] if seen else None

    def decode(pieces: jax.Array) -> jax.Array:
        condition = pieces[..., -3:] if seen else None
        channels = vae.config.latent_channels
        return programs.decode(vae.network, vae.params, pieces[..., :channels], condition)

    def of_tile(tile: Tile, latents: jax.Array) -> Iterator[jax.Array]:
        if low_res is not None:
            # What the decoder sees is cut like the latents.
            part = low_res[:, :, slice(*tile.rows), slice(*tile.columns)]
            part = put_sharded(part, (None,) * part.ndim)
            latents = jnp.concatenate([latents, part], axis=-1)
        return decode_chunks(
            decode,
            latents,
            plan.chunks,
            lambda shape: plan.decoder_tiles(tile, shape[0]),
            scale=SCALE,
            batch=batch,
        )

    tiles = plan.space.tiles
    streams = [of_tile(tile, x) for tile, x in zip(tiles, latents, strict=True)]
    while True:
        # One tile's frames at a time are held beside the joined ones.
        joined: jax.Array | None = None
        for tile, stream in zip(tiles, streams, strict=True):
            frames = next(stream, None)
            if frames is None:
                return
            joined = _paste(joined, frames[0], tile, plan.space.padded)
        assert joined is not None
        yield joined


def finish(frames: jax.Array, low_res: np.ndarray, space: SpacePlan, colour: str) -> jax.Array:
    """Crops the padding, corrects the colours, and resizes to the output.

    Args:
      frames: decoded frames `[n, H, W, 3]` in [-1, 1], on every device.
      low_res: low-resolution frames `[n, h, w, 3]` in [-1, 1], without padding.
      space: sizes.
      colour: name of the colour correction.

    Returns:
      Frames `[n, H', W', 3]` of the size of the output, in about [-1, 1].
    """
    height, width = SCALE * space.low_res[0], SCALE * space.low_res[1]
    if frames.shape[1:3] != (height, width):
        frames = frames[:, :height, :width]
    if colour != "none":
        enlarged = resize.resize_bicubic(low_res, (height, width))
        corrected = correct_colours(np.asarray(frames), enlarged, colour)
        frames = jnp.asarray(put_sharded(corrected, (None,) * 4))
    return frames if space.size == (height, width) else _resize(frames, space.size)


def _paste(
    joined: jax.Array | None, frames: jax.Array, tile: Tile, size: tuple[int, int]
) -> jax.Array:
    """Puts the core of a tile in its place among those of the other tiles."""
    whole = (0, size[0]), (0, size[1])
    if (tile.core_rows, tile.core_columns) == whole:
        return _clip(frames)
    if joined is None:
        joined = jnp.zeros((len(frames), SCALE * size[0], SCALE * size[1], 3))
    rows, columns = (
        tuple(SCALE * (i - seen[0]) for i in core)
        for seen, core in ((tile.rows, tile.core_rows), (tile.columns, tile.core_columns))
    )
    corner = SCALE * tile.core_rows[0], SCALE * tile.core_columns[0]
    return _add_core(joined, frames, rows, columns, corner)


@jax.jit
def _clip(frames: jax.Array) -> jax.Array:
    return jnp.clip(frames, -1, 1)


@partial(jax.jit, static_argnames=("rows", "columns", "corner"), donate_argnums=0)
def _add_core(
    joined: jax.Array,
    frames: jax.Array,
    rows: tuple[int, int],
    columns: tuple[int, int],
    corner: tuple[int, int],
) -> jax.Array:
    core = jnp.clip(frames[:, slice(*rows), slice(*columns)], -1, 1)
    return jax.lax.dynamic_update_slice(joined, core, (0, *corner, 0))


@partial(jax.jit, static_argnames="size")
def _resize(frames: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Resizes frames `[n, H, W, 3]`, whole on every device, with a kernel wide enough to shrink."""
    shape = (len(frames), *size, frames.shape[-1])
    resized = jax.image.resize(frames, shape, "lanczos3", antialias=True)
    return constrain(jnp.clip(resized, -1, 1), (None,) * 4)
