"""Shrinking and enlarging of frames for training pairs."""

import functools

import cv2
import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.video.resize import resize_bilinear, weighted_sums

METHODS = ("bilinear", "bicubic", "area")


def resample(
    frames: np.ndarray, size: tuple[int, int], method: str = "bilinear", *, antialias: bool = True
) -> np.ndarray:
    """Resizes frames.

    Args:
      frames: pictures `[F, H, W, C]` float32.
      size: height and width of the result.
      method: kernel: `bilinear`; `bicubic` (Keys 1981 with a = -1/2); `area`, the mean over the
        area of a pixel, which repeats pixels when it enlarges.
      antialias: whether the kernel is widened when shrinking; that of `area` always is.

    Returns:
      float32 `[F, height, width, C]`; bicubic may leave the range of the input.

    Raises:
      InputError: unknown method.
    """
    if method not in METHODS:
        raise InputError(f"resampling {method!r}: expected one of {', '.join(METHODS)}")
    if frames.shape[1:3] == size:
        return frames
    if method == "bilinear":
        return resize_bilinear(frames, size, antialias=antialias)
    # OpenCV's bicubic kernel has a = -3/4 and no antialiasing; its INTER_AREA repeats wrong pixels
    # when it enlarges by ratios such as 9/7.
    matrix = _bicubic if method == "bicubic" else _area
    rows = matrix(frames.shape[1], size[0], antialias)
    columns = matrix(frames.shape[2], size[1], antialias)
    return weighted_sums(columns, weighted_sums(rows, frames, axis=-3), axis=-2)


def to_uint8(frames: np.ndarray) -> np.ndarray:
    """Rounds frames, clips them to 0 to 255, and converts them to uint8."""
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def shrink_to_cover(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Shrinks frames, by area, to the smallest size that still covers a rectangle.

    Args:
      frames: pictures, uint8 `[F, H, W, 3]`.
      height: smallest number of rows of the result.
      width: smallest number of columns of the result.

    Returns:
      uint8 `[F, h, w, 3]`; `frames` if they are smaller than the rectangle in one direction.
    """
    rows, columns = frames.shape[1:3]
    ratio = max(height / rows, width / columns)
    if ratio >= 1:
        return frames
    size = max(height, round(rows * ratio)), max(width, round(columns * ratio))
    shrunk = [cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA) for frame in frames]
    return np.stack(shrunk)


@functools.lru_cache(maxsize=64)
def _bicubic(length: int, out: int, antialias: bool) -> np.ndarray:
    """Returns weights `[out, length]` float32 of Keys' kernel."""
    stride = length / out
    support = stride if antialias and stride > 1 else 1.0
    centre = (np.arange(out) + 0.5) * stride - 0.5
    reach = int(np.ceil(2 * support)) + 1
    taps = np.floor(centre)[:, None].astype(int) + np.arange(-reach, reach + 1)
    x = np.abs(taps - centre[:, None]) / support
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    values = np.where(x <= 1, near, np.where(x < 2, far, 0))
    weights = np.zeros((out, length))
    # Taps beyond the edge take the pixel at the edge.
    np.add.at(weights, (np.arange(out)[:, None], np.clip(taps, 0, length - 1)), values)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


@functools.lru_cache(maxsize=64)
def _area(length: int, out: int, antialias: bool) -> np.ndarray:
    """Returns weights `[out, length]` float32: the overlap of new pixels with old ones."""
    edges = np.arange(out + 1) * (length / out)
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    overlap = np.maximum(overlap, 0)
    return (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)
