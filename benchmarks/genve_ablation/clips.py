"""Clips of the ablation: synthetic ones whose texture only the reference has, and real ones."""

from pathlib import Path

import cv2
import numpy as np

from venhancer_jax.data.resample import resample, shrink_to_cover, to_uint8
from venhancer_jax.video import list_videos, probe, read_frames

# Rows that real clips are shrunk to before a crop.
_ROWS = 128
# Number of textures.
TEXTURES = 6
# Pixels after which the texture of a synthetic clip repeats, its motion from frame to frame along
# each axis, which may also be 0, and the size of its areas.
TILE, _STEP, _CELL = 8, 4, 20
# Correlation of the areas of textures with those of colours.
_ALIKE = 0.7


def synthetic(seed: int, frames: int, size: tuple[int, int]) -> np.ndarray:
    """Draws a clip of two colours that moves, with two textures that the low-quality clip lacks.

    Textures are few, so that a small prior knows all of them, and the reference tells which they
    are, and where: their areas follow those of the colours in part. They repeat every `TILE`
    pixels, so that averages over as many pixels show colours alone. The clip moves by whole
    latents, the middle frame has its tiles at their places.

    Args:
      seed: seed of the clip.
      frames: number of frames.
      size: rows and columns of a frame, in pixels.

    Returns:
      uint8 `[F, H, W, 3]`.
    """
    rng = np.random.default_rng(seed)
    # Whole tiles around the middle frame.
    margin = -(-_STEP * (frames // 2) // TILE) * TILE
    height, width = (n + 2 * margin for n in size)
    colour, own = rng.normal(size=(2, height // _CELL, width // _CELL))
    texture = _ALIKE * colour + np.sqrt(1 - _ALIKE**2) * own
    colours = rng.uniform(75, 180, (2, 1, 1, 3))
    tiles = height // TILE, width // TILE, 1
    textures = [np.tile(_texture(kind), tiles) for kind in rng.permutation(TEXTURES)[:2]]
    whole = height, width
    canvas = _mixed(_areas(colour, whole), *colours) + _mixed(_areas(texture, whole), *textures)
    step = _STEP * rng.integers(-1, 1, 2, endpoint=True)
    corners = [margin + step * (i - frames // 2) for i in range(frames)]
    clip = [canvas[y : y + size[0], x : x + size[1]] for y, x in corners]
    return to_uint8(np.stack(clip).astype(np.float32))


def _areas(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draws areas `[H, W, 1]`, 1 where cells are positive and 0 elsewhere, with soft borders."""
    soft = cv2.resize(cells, size[::-1], interpolation=cv2.INTER_CUBIC)
    return 1 / (1 + np.exp(-8 * soft))[..., None]


def _mixed(share: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return share * first + (1 - share) * second


def _texture(kind: int) -> np.ndarray:
    """Draws a tile `[TILE, TILE, 1]` of stripes or dots, with values about 0."""
    rows, columns = 2 * np.pi * (np.mgrid[:TILE, :TILE] + 0.5) / TILE
    waves = [rows, columns, rows + columns, rows - columns]
    stripes = [np.sin(wave) for wave in waves]
    dots = [2 * stripes[0] * stripes[1], 2 * stripes[2] * stripes[3]]
    return 60 * [*stripes, *dots][kind].clip(-1, 1)[..., None]


def real(folder: Path, count: int, frames: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """Crops clips from the videos of a folder, in turn.

    Args:
      folder: folder of videos.
      count: number of clips.
      frames: number of frames of a clip.
      size: rows and columns of a frame, in pixels.
      seed: seed of positions.

    Returns:
      uint8 `[count, F, H, W, 3]`.
    """
    rng, clips = np.random.default_rng(seed), []
    paths = list_videos(folder)
    order = rng.permutation(len(paths))
    for i in range(count):
        info = probe(paths[order[i % len(paths)]])
        # Every second frame, for more motion.
        span = 2 * frames
        start = int(rng.integers(0, max(1, info.frames - span), endpoint=True))
        seconds = float(start / info.rate)
        read = np.stack([*read_frames(info, start_time=seconds, max_frames=span)][::2])
        small = shrink_to_cover(read, _ROWS, _ROWS)
        top, left = (
            int(rng.integers(0, whole - part, endpoint=True))
            for whole, part in zip(small.shape[1:3], size, strict=True)
        )
        clips.append(small[:frames, top : top + size[0], left : left + size[1]])
    return np.stack(clips)


def degraded(clip: np.ndarray, scale: int) -> np.ndarray:
    """Shrinks a clip by averages, and enlarges it again.

    Args:
      clip: uint8 `[F, H, W, 3]`.
      scale: ratio of the sizes.

    Returns:
      uint8 `[F, H, W, 3]`.
    """
    size = clip.shape[1] // scale, clip.shape[2] // scale
    small = to_uint8(resample(clip.astype(np.float32), size, "area"))
    return to_uint8(resample(small.astype(np.float32), clip.shape[1:3], "bicubic"))
