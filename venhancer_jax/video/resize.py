"""Resampling, padding and value ranges of frames."""

import functools

import cv2
import numpy as np
import numpy.typing as npt

# Rows or columns of a result that are computed together.
_BLOCK = 128


def to_signed(frames: np.ndarray) -> np.ndarray:
    """Converts uint8 or uint16 frames, with white at 255 or 65,535, to float32 in [-1, 1]."""
    return (frames.astype(np.float32) / np.iinfo(frames.dtype).max - 0.5) / 0.5


def to_bytes(frames: np.ndarray, dtype: npt.DTypeLike = np.uint8) -> np.ndarray:
    """Converts frames in [-1, 1] to the nearest integers.

    Args:
      frames: pictures `[..., H, W, C]`.
      dtype: uint8, or uint16 with white at 65,535.
    """
    white = np.iinfo(dtype).max
    return np.rint((frames + 1) * (white / 2)).clip(0, white).astype(dtype)


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
    rows = _triangle_weights(frames.shape[-3], size[0], scale, antialias)
    columns = _triangle_weights(frames.shape[-2], size[1], scale, antialias)
    # Not cv2.resize, whose last bits differ: ties of later rounding to 8 bits would fall elsewhere.
    return weighted_sums(columns, weighted_sums(rows, frames, axis=-3), axis=-2)


def resize_bicubic(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resamples frames bicubically like PyTorch: half-pixel centres, a = -0.75, no antialiasing.

    Args:
      frames: pictures `[F, H, W, 3]` float32; pixels beyond an edge equal those of the edge.
      size: height and width of the result.

    Returns:
      float32 `[F, height, width, 3]`.
    """
    return np.stack([cv2.resize(x, size[::-1], interpolation=cv2.INTER_CUBIC) for x in frames])


def resize_area(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Averages frames over areas of whole pixels, which overlap where sizes do not divide.

    Args:
      frames: pictures `[..., H, W, C]` float32.
      size: height and width of the result.

    Returns:
      float32 `[..., height, width, C]`.
    """
    rows = _area_weights(frames.shape[-3], size[0])
    columns = _area_weights(frames.shape[-2], size[1])
    return weighted_sums(columns, weighted_sums(rows, frames, axis=-3), axis=-2)


def weighted_sums(weights: np.ndarray, frames: np.ndarray, *, axis: int) -> np.ndarray:
    """Multiplies rows or columns of frames by a matrix of a few weights near its diagonal.

    Args:
      weights: matrix `[out, length]` float32; each of its rows has a weight other than 0.
      frames: pictures `[..., H, W, C]` float32.
      axis: -3 for rows, -2 for columns, of which there are `length`.

    Returns:
      float32 pictures with `out` rows or columns.
    """
    subscripts = "oi,...iwc->...owc" if axis == -3 else "oi,...hic->...hoc"
    sums = []
    for start in range(0, len(weights), _BLOCK):
        block = weights[start : start + _BLOCK]
        used = np.flatnonzero(block.any(0))
        first, stop = int(used[0]), int(used[-1]) + 1
        part = frames[..., first:stop, :, :] if axis == -3 else frames[..., first:stop, :]
        sums.append(np.einsum(subscripts, block[:, first:stop], part, optimize=True))
    return np.concatenate(sums, axis)


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
def _area_weights(length: int, out: int) -> np.ndarray:
    """Returns weights `[out, length]` float32 of means over `[floor(i s), ceil((i + 1) s))`."""
    i, j = np.arange(out)[:, None], np.arange(length)
    inside = (j >= i * length // out) & (j < -(-(i + 1) * length // out))
    return (inside / inside.sum(1, keepdims=True)).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _triangle_weights(length: int, out: int, scale: float | None, antialias: bool) -> np.ndarray:
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
