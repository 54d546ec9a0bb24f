"""Resampling, padding and value ranges of frames."""

import functools

import numpy as np


def to_signed(frames: np.ndarray) -> np.ndarray:
    """uint8 to float32 in [-1, 1]."""
    return (frames.astype(np.float32) / 255 - 0.5) / 0.5


def to_bytes(frames: np.ndarray) -> np.ndarray:
    """[-1, 1] to the nearest uint8."""
    return np.rint((frames + 1) * 127.5).clip(0, 255).astype(np.uint8)


def resize_bilinear(
    frames: np.ndarray,
    size: tuple[int, int],
    *,
    scale: float | None = None,
    antialias: bool = True,
) -> np.ndarray:
    """Bilinear resampling on pixel centres.

    Args:
      frames: `[..., H, W, C]` float32.
      size: `(height, width)` of the result.
      scale: enlargement that places the samples; by default the ratio of the sizes.
      antialias: widen the kernel when shrinking; the official program does not.

    Returns:
      `[..., height, width, C]` float32.
    """
    rows = _matrix(frames.shape[-3], size[0], scale, antialias)
    columns = _matrix(frames.shape[-2], size[1], scale, antialias)
    tall = np.einsum("oh,...hwc->...owc", rows, frames, optimize=True)
    return np.einsum("pw,...owc->...opc", columns, tall, optimize=True)


def pad(
    frames: np.ndarray, padding: tuple[int, int, int, int], *, white: bool = False
) -> np.ndarray:
    """Adds `(left, right, top, bottom)` pixels around `[..., H, W, C]`: the edge's, or white."""
    left, right, top, bottom = padding
    sides = [(0, 0)] * (frames.ndim - 3) + [(top, bottom), (left, right), (0, 0)]
    if white:
        return np.pad(frames, sides, constant_values=1)
    return np.pad(frames, sides, mode="edge")


@functools.lru_cache(maxsize=8)
def _matrix(length: int, out: int, scale: float | None, antialias: bool) -> np.ndarray:
    """Weights `[out, length]` float32 of the triangle kernel."""
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
