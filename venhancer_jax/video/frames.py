"""Frames of other programs as RGB of 8 or 16 bits."""

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from venhancer_jax.errors import InputError

# Rounding may leave the range of floats by a hair.
_TOLERANCE = 1e-3


def as_rgb8(frame: np.ndarray) -> np.ndarray:
    """Converts a picture to uint8 RGB.

    Grey is repeated in three channels and alpha is dropped.

    Args:
      frame: picture `[H, W]`, `[H, W, 1]` (grey), `[H, W, 3]` (RGB) or `[H, W, 4]` (RGBA), uint8,
        uint16 with white at 65,535, or floats from 0 to 1.

    Returns:
      uint8 `[H, W, 3]`.

    Raises:
      InputError: another shape, another type, or floats out of range.
    """
    return _as_rgb(frame, np.uint8)


def as_rgb16(frame: np.ndarray) -> np.ndarray:
    """Converts a picture to uint16 RGB with white at 65,535.

    Grey is repeated in three channels and alpha is dropped.

    Args:
      frame: picture `[H, W]`, `[H, W, 1]` (grey), `[H, W, 3]` (RGB) or `[H, W, 4]` (RGBA), uint8,
        uint16 with white at 65,535, or floats from 0 to 1.

    Returns:
      uint16 `[H, W, 3]`.

    Raises:
      InputError: another shape, another type, or floats out of range.
    """
    return _as_rgb(frame, np.uint16)


def as_rgb(frame: np.ndarray) -> np.ndarray:
    """Converts a picture to uint16 RGB if it is uint16, else to uint8 RGB.

    Args:
      frame: picture `[H, W]`, `[H, W, 1]` (grey), `[H, W, 3]` (RGB) or `[H, W, 4]` (RGBA), uint8,
        uint16 with white at 65,535, or floats from 0 to 1.

    Returns:
      uint8 or uint16 `[H, W, 3]`.

    Raises:
      InputError: another shape, another type, or floats out of range.
    """
    return as_rgb16(frame) if np.asarray(frame).dtype == np.uint16 else as_rgb8(frame)


def with_dtype(frames: Iterable[np.ndarray]) -> tuple[np.dtype, Iterator[np.ndarray]]:
    """Returns the type of the first frame, and an iterator over all frames.

    Args:
      frames: pictures, of which the first is read; without any the type is uint8.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        return np.dtype(np.uint8), frames
    return first.dtype, chain([first], frames)


def _as_rgb(frame: np.ndarray, dtype: type[np.unsignedinteger]) -> np.ndarray:
    frame = np.asarray(frame)
    described = f"frame of {frame.dtype} {list(frame.shape)}"
    if frame.ndim == 2:
        frame = frame[..., None]
    if frame.ndim != 3 or frame.shape[-1] not in (1, 3, 4) or frame.size == 0:
        raise InputError(
            f"{described}: expected [H, W, 3] (RGB), [H, W, 4] (RGBA), [H, W] or [H, W, 1] (grey)."
        )
    is_float = np.issubdtype(frame.dtype, np.floating)
    if frame.dtype not in (np.uint8, np.uint16) and not is_float:
        raise InputError(
            f"{described}: expected uint8, uint16 (white is 65,535), or floats from 0 to 1. Divide "
            "other integers by their largest value."
        )
    frame = np.broadcast_to(frame[..., :3], (*frame.shape[:2], 3))
    if frame.dtype == dtype:
        return np.ascontiguousarray(frame)
    white = np.iinfo(dtype).max
    if not is_float:
        share = white / np.iinfo(frame.dtype).max
        return np.rint(frame.astype(np.float32) * np.float32(share)).astype(dtype)
    low, high = float(frame.min()), float(frame.max())
    # Not a number fails this comparison too.
    if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
        raise InputError(
            f"{described} from {low:g} to {high:g}: floats have to be from 0 to 1. Divide them by "
            "the largest value, clip them, or pass uint8."
        )
    return np.rint(frame.astype(np.float32) * white).clip(0, white).astype(dtype)
