"""Optical flow by dense inverse search, and pictures moved along it."""

import cv2
import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.video.levels import luma

_LEAST_SIDE = 16


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
      InputError: a side is below 16 pixels.
    """
    height, width = start.shape[:2]
    if min(height, width) < _LEAST_SIDE:
        raise InputError(
            f"frames of {width}x{height}: optical flow needs at least {_LEAST_SIDE} pixels each "
            "way. Measure larger frames, or leave it out."
        )
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    first, second = np.round(luma(np.stack([start, end]))[..., 0] * 255).astype(np.uint8)
    return search.calc(first, second, np.empty(0))


def warp(picture: np.ndarray, flow: np.ndarray, *, repeat_edge: bool = False) -> np.ndarray:
    """Fetches for every pixel what `picture` has at its end of the flow.

    Args:
      picture: `[H, W]` or `[H, W, C]`.
      flow: `[H, W, 2]`, from the frame asked for to that of `picture`.
      repeat_edge: whether outside of the frame its edge goes on.

    Returns:
      float32 of the shape of `picture`, linear between pixels; outside 0, or the edge.
    """
    columns, rows = np.moveaxis(_ends(flow), -1, 0)
    border = cv2.BORDER_REPLICATE if repeat_edge else cv2.BORDER_CONSTANT
    source = picture.astype(np.float32)
    return cv2.remap(source, columns, rows, cv2.INTER_LINEAR, borderMode=border)


def lands_inside(flow: np.ndarray) -> np.ndarray:
    """Which flow vectors of `[H, W, 2]` end in the frame: bool `[H, W]`."""
    height, width = flow.shape[:2]
    ends = _ends(flow)
    return np.all((ends >= 0) & (ends <= (width - 1, height - 1)), axis=-1)


def _ends(flow: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(flow.shape[:2], np.float32)
    return np.stack([columns, rows], axis=-1) + flow
