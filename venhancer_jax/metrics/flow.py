"""Optical flow by dense inverse search, and pictures moved along it."""

import importlib
from typing import Any

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.metrics.frames import luma

_LEAST_SIDE = 16


def opencv() -> Any:
    """The module `cv2`.

    Raises:
      InputError: it is not installed.
    """
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise InputError(
            f"optical flow needs OpenCV, which cannot be imported ({error}). "
            "Install it: pip install 'venhancer-jax[metrics]'"
        ) from error


def dis_flow(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Where the pixels of one frame are found in another.

    Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search", preset MEDIUM of OpenCV, on
    BT.709 luma of 8 bits.

    Args:
      start: RGB `[H, W, 3]`.
      end: the same.

    Returns:
      float32 `[H, W, 2]`: (columns, rows) to go from a pixel of `start` to its place in `end`.

    Raises:
      InputError: OpenCV is not installed, or a side is below 16 pixels.
    """
    cv2 = opencv()
    height, width = start.shape[:2]
    if min(height, width) < _LEAST_SIDE:
        raise InputError(
            f"frames of {width}x{height}: optical flow needs at least {_LEAST_SIDE} pixels each "
            "way. Measure larger frames, or leave it out."
        )
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    pair = luma(np.stack([start, end]))[..., 0]
    return search.calc(*np.round(pair * 255).astype(np.uint8), None)


def warp(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Fetches for every pixel what `picture` has at its end of the flow.

    Args:
      picture: `[H, W]` or `[H, W, C]`.
      flow: `[H, W, 2]`, from the frame asked for to that of `picture`.

    Returns:
      float32 of the shape of `picture`, linear between pixels, 0 outside.
    """
    cv2 = opencv()
    columns, rows = np.moveaxis(_ends(flow), -1, 0)
    return cv2.remap(np.float32(picture), columns, rows, cv2.INTER_LINEAR)


def lands_inside(flow: np.ndarray) -> np.ndarray:
    """Which flow vectors of `[H, W, 2]` end in the frame: bool `[H, W]`."""
    height, width = flow.shape[:2]
    ends = _ends(flow)
    return np.all((ends >= 0) & (ends <= (width - 1, height - 1)), axis=-1)


def _ends(flow: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(flow.shape[:2], np.float32)
    return np.stack([columns, rows], axis=-1) + flow
