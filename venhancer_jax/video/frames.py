"""Frames of other programs as uint8 RGB."""

import numpy as np

from venhancer_jax.errors import InputError

# Rounding may leave the range of floats by a hair.
_TOLERANCE = 1e-3


def as_rgb8(frame: np.ndarray) -> np.ndarray:
    """Converts a picture to uint8 RGB.

    Grey is repeated in three channels and alpha is dropped. Integers of more than 8 bits are
    refused, as their white may be at 1,023, 4,095 or 65,535.

    Args:
      frame: picture `[H, W]`, `[H, W, 1]` (grey), `[H, W, 3]` (RGB) or `[H, W, 4]` (RGBA), uint8,
        or floats from 0 to 1.

    Returns:
      uint8 `[H, W, 3]`.

    Raises:
      InputError: another shape, another type, or floats out of range.
    """
    frame = np.asarray(frame)
    described = f"frame of {frame.dtype} {list(frame.shape)}"
    if frame.ndim == 2:
        frame = frame[..., None]
    if frame.ndim != 3 or frame.shape[-1] not in (1, 3, 4) or frame.size == 0:
        raise InputError(
            f"{described}: expected [H, W, 3] (RGB), [H, W, 4] (RGBA), [H, W] or [H, W, 1] (grey)."
        )
    if frame.dtype != np.uint8 and not np.issubdtype(frame.dtype, np.floating):
        raise InputError(
            f"{described}: expected uint8, or floats from 0 to 1. Divide integers of more bits by "
            "their largest value."
        )
    frame = np.broadcast_to(frame[..., :3], (*frame.shape[:2], 3))
    if frame.dtype == np.uint8:
        return np.ascontiguousarray(frame)
    low, high = float(frame.min()), float(frame.max())
    # Not a number fails this comparison too.
    if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
        raise InputError(
            f"{described} from {low:g} to {high:g}: floats have to be from 0 to 1. Divide them by "
            "255, clip them, or pass uint8."
        )
    return np.rint(frame.astype(np.float32) * 255).clip(0, 255).astype(np.uint8)
