"""Clips of the ablation: synthetic ones whose texture only the reference has, and real ones."""

from pathlib import Path

import cv2
import numpy as np

from venhancer_jax.data.resample import resample, shrink_to_cover, to_uint8
from venhancer_jax.video import list_videos, probe, read_frames

# Rows that real clips are shrunk to before a crop.
_ROWS = 128
# Largest motion of a synthetic clip between neighbouring frames, in pixels.
_SPEED = 6


def synthetic(seed: int, frames: int, size: tuple[int, int]) -> np.ndarray:
    """Draws a clip: soft colours that move, each with a texture too fine for the low-quality clip.

    Two textures, stripes or dots of random direction, period and colour, belong to the two sides of
    the soft colours, so that the low-quality clip shows where each texture is and how it moves.

    Args:
      seed: seed of the clip.
      frames: number of frames.
      size: rows and columns of a frame, in pixels.

    Returns:
      uint8 `[F, H, W, 3]`.
    """
    rng = np.random.default_rng(seed)
    margin = _SPEED * (frames - 1)
    height, width = (n + margin for n in size)
    cells = rng.normal(size=(height // 12, width // 12))
    soft = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    share = 1 / (1 + np.exp(-6 * soft))[..., None]
    first, second = (_texture(rng, (height, width)) for _ in range(2))
    canvas = share * first + (1 - share) * second
    step = rng.integers(-_SPEED, _SPEED, 2, endpoint=True)
    start = np.where(step < 0, margin, 0)
    corners = [start + np.sign(step) * np.abs(step) * i for i in range(frames)]
    clip = [canvas[y : y + size[0], x : x + size[1]] for y, x in corners]
    return to_uint8(np.stack(clip).astype(np.float32))


def _texture(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Draws stripes or dots `[*size, 3]` around a colour."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    angle, period, phases = rng.uniform(0, np.pi), rng.uniform(5, 8), rng.uniform(0, 6, 2)
    along = (np.cos(angle) * columns + np.sin(angle) * rows) * 2 * np.pi / period
    across = (np.cos(angle) * rows - np.sin(angle) * columns) * 2 * np.pi / period
    wave = np.sin(along + phases[0])
    if rng.random() < 0.5:
        wave = wave * np.sin(across + phases[1])
    colour, contrast = rng.uniform(70, 185, 3), rng.uniform(-60, 60, 3)
    contrast *= 60 / np.abs(contrast).max()
    return colour + contrast * wave[..., None]


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
