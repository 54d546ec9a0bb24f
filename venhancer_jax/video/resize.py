"""Resampling, padding and value ranges of frames."""

import functools

import cv2
import numpy as np


def to_signed(frames: np.ndarray) -> np.ndarray:
    """Converts uint8 frames to float32 in [-1, 1]."""
    return (frames.astype(np.float32) / 255 - 0.5) / 0.5


def to_bytes(frames: np.ndarray) -> np.ndarray:
    """Converts frames in [-1, 1] to the nearest uint8."""
    return np.rint((frames + 1) * 127.5).clip(0, 255).astype(np.uint8)


def resize_bilinear(
    frames: np.ndarray,
    size: tuple[int, int],
    *,
    scale: float | None = None,
    antialias: bool = True,
) -> np.ndarray:
    """Resamples frames bilinearly, with half-pixel centres.

    Args:
      frames: pictures `[..., H, W, C]` float32.
      size: height and width of the result.
      scale: enlargement that places the samples; by default the ratio of the sizes.
      antialias: whether the kernel is widened when shrinking; the reference implementation does
        not.

    Returns:
      float32 `[..., height, width, C]`.
    """
    shrinks = size[0] < frames.shape[-3] or size[1] < frames.shape[-2]
    if scale is None and not (antialias and shrinks):
        return resize_each(frames, size, cv2.INTER_LINEAR)
    # OpenCV has neither a triangle as wide as a shrunk pixel, nor a scale apart from the sizes.
    rows = _matrix(frames.shape[-3], size[0], scale, antialias)
    columns = _matrix(frames.shape[-2], size[1], scale, antialias)
    tall = np.einsum("oh,...hwc->...owc", rows, frames, optimize=True)
    return np.einsum("pw,...owc->...opc", columns, tall, optimize=True)


def resize_each(frames: np.ndarray, size: tuple[int, int], interpolation: int) -> np.ndarray:
    """Resizes pictures with OpenCV.

    Args:
      frames: pictures `[..., H, W, C]`, uint8 or float32.
      size: height and width of the result.
      interpolation: one of the `cv2.INTER_` constants.

    Returns:
      Pictures `[..., height, width, C]`, of the type of `frames`.
    """
    *leading, height, width, channels = frames.shape
    resized = [
        cv2.resize(frame, size[::-1], interpolation=interpolation)
        for frame in frames.reshape(-1, height, width, channels)
    ]
    return np.stack(resized).reshape(*leading, *size, channels)


def pad(
    frames: np.ndarray, padding: tuple[int, int, int, int], *, white: bool = False
) -> np.ndarray:
    """Adds pixels around frames.

    Args:
      frames: pictures `[..., H, W, C]`.
      padding: numbers of pixels to add left, right, above and below.
      white: whether the added pixels are 1, in place of those at the edge.

    Returns:
      Pictures `[..., top + H + bottom, left + W + right, C]`.
    """
    left, right, top, bottom = padding
    sides = [(0, 0)] * (frames.ndim - 3) + [(top, bottom), (left, right), (0, 0)]
    if white:
        return np.pad(frames, sides, constant_values=1)
    return np.pad(frames, sides, mode="edge")


@functools.lru_cache(maxsize=8)
def _matrix(length: int, out: int, scale: float | None, antialias: bool) -> np.ndarray:
    """Returns weights `[out, length]` float32 of the triangle kernel."""
    stride = length / out if scale is None else 1 / scale
    centre = (np.arange(out) + 0.5) * stride - 0.5
    support = 1.0
    if antialias and stride > 1:
        support = stride
    else:
        # Samples beyond the first or last pixel centre take that pixel whole.
        centre = np.clip(centre, 0, length - 1)
    weights = np.maximum(0, 1 - np.abs(np.arange(length) - centre[:, None]) / support)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
