"""Consistency of a result with the low-resolution video it was computed from."""

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.metrics.psnr import psnr
from venhancer_jax.video.colour.levels import unit


def lr_consistency(pred: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Computes PSNR between the result, averaged over low-resolution pixels, and the input.

    Rounding of the input to 8 bits alone leaves 58.9 dB. Frames must correspond in time.

    Args:
      pred: frames of the result `[F, H, W, C]`, uint8 or floats from 0 to 1.
      low: frames of the input `[F, h, w, C]`, uint8 or floats from 0 to 1, not larger.

    Returns:
      PSNR of each frame in dB, `[F]`.

    Raises:
      InputError: numbers of frames or channels differ, or `low` is larger.
    """
    return psnr(box_resize(pred, *np.shape(low)[1:3]), low)


def box_resize(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Averages frames over the area of each pixel of a smaller grid.

    Args:
      frames: pictures `[F, H, W, C]`, uint8 or floats from 0 to 1.
      height: rows of the result.
      width: columns of the result.

    Returns:
      float64 `[F, height, width, C]` from 0 to 1.

    Raises:
      InputError: the grid is larger than the frames.
    """
    frames = unit(frames)
    rows, columns = frames.shape[1:3]
    if not (0 < height <= rows and 0 < width <= columns):
        raise InputError(
            f"{width}x{height} from frames of {columns}x{rows}: expected no larger size."
        )
    frames = np.einsum("yY,fYXc->fyXc", _areas(height, rows), frames, optimize=True)
    frames = np.einsum("xX,fyXc->fyxc", _areas(width, columns), frames, optimize=True)
    # Sums of shares are a hair beyond 1 where the area is white.
    return np.clip(frames, 0, 1)


def _areas(small: int, large: int) -> np.ndarray:
    """Returns weights `[small, large]`: overlaps of equal intervals, as shares of the larger."""
    starts = np.arange(small)[:, None] * large / small
    ends = starts + large / small
    pixels = np.arange(large)
    overlap = np.minimum(ends, pixels + 1) - np.maximum(starts, pixels)
    return np.clip(overlap, 0, 1) * small / large
