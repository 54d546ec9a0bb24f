"""Frames as floats from 0 to 1, and luma."""

import numpy as np

from venhancer_jax.errors import InputError

# Recommendation ITU-R BT.709-6, item 3.2: luma of R, G, B.
_BT709 = np.array([0.2126, 0.7152, 0.0722])


def unit(frames: np.ndarray) -> np.ndarray:
    """Converts frames to float64 from 0 to 1.

    Args:
      frames: pictures `[F, H, W, C]`, uint8 or floats from 0 to 1.

    Returns:
      float64 `[F, H, W, C]`.

    Raises:
      InputError: no frame, another number of axes, another type, or floats beyond 0 to 1.
    """
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.size == 0:
        raise InputError(f"frames of shape {frames.shape}: expected [F, H, W, C] of at least one.")
    if frames.dtype == np.uint8:
        return frames / 255.0
    if not np.issubdtype(frames.dtype, np.floating):
        raise InputError(f"frames of {frames.dtype}: expected uint8, or floats from 0 to 1.")
    # Not a number fails this comparison too.
    if not (frames.min() >= 0 and frames.max() <= 1):
        raise InputError(
            f"frames from {frames.min():g} to {frames.max():g}: floats go from 0 to 1. Clip them, "
            "divide them by 255, or give uint8."
        )
    return frames.astype(np.float64)


def unit_pair(pred: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Converts a video and its target to float64 from 0 to 1.

    Args:
      pred: frames `[F, H, W, C]`, uint8 or floats from 0 to 1.
      target: frames `[F, H, W, C]`, uint8 or floats from 0 to 1.

    Returns:
      float64 `[F, H, W, C]` of each.

    Raises:
      InputError: shapes differ, no frame, another type, or floats beyond 0 to 1.
    """
    pred, target = unit(pred), unit(target)
    if pred.shape != target.shape:
        raise InputError(
            f"frames {pred.shape} against a target {target.shape}: expected the same [F, H, W, C]."
        )
    return pred, target


def luma(frames: np.ndarray) -> np.ndarray:
    """Computes BT.709 luma.

    Args:
      frames: RGB frames `[F, H, W, 3]`, uint8 or floats from 0 to 1.

    Returns:
      float64 `[F, H, W, 1]` from 0 to 1.

    Raises:
      InputError: another shape or type, or floats beyond 0 to 1.
    """
    frames = unit(frames)
    if frames.shape[-1] != 3:
        raise InputError(f"frames of shape {frames.shape}: expected RGB [F, H, W, 3].")
    return np.clip(frames @ _BT709, 0, 1)[..., None]
