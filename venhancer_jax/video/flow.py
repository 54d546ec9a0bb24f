"""Optical flow by dense inverse search, its resizing, and warping of pictures."""

import cv2
import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.video.colour.levels import luma
from venhancer_jax.video.resize import resize_area

_LEAST_SIDE = 16


def dis_flow(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Computes the optical flow between two frames.

    Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search", preset MEDIUM of OpenCV, on
    BT.709 luma of 8 bits.

    Args:
      start: RGB frame `[H, W, 3]`, uint8 or floats from 0 to 1.
      end: RGB frame `[H, W, 3]`, uint8 or floats from 0 to 1.

    Returns:
      float32 `[H, W, 2]`: displacement in columns and rows from a pixel of `start` to its position
      in `end`.

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


def resize_flows(flows: np.ndarray, size: tuple[int, int], *, official: bool = False) -> np.ndarray:
    """Averages flows over the areas of other pixels, and measures them in those pixels.

    Args:
      flows: displacements `[..., H, W, 2]`, columns then rows, in pixels.
      size: height and width of the result.
      official: whether displacements along both axes are scaled by the ratio of the widths, as in
        the reference implementation.

    Returns:
      float32 `[..., height, width, 2]`.
    """
    height, width = flows.shape[-3:-1]
    if (height, width) == tuple(size):
        return flows
    of_rows, of_columns = size[0] / height, size[1] / width
    ratios = np.array([of_columns, of_columns if official else of_rows], np.float32)
    return resize_area(flows, size) * ratios


def warp(picture: np.ndarray, flow: np.ndarray, *, repeat_edge: bool = False) -> np.ndarray:
    """Warps a picture backwards along an optical flow, linearly between pixels.

    Args:
      picture: picture `[H, W]` or `[H, W, C]`.
      flow: displacements `[H, W, 2]` from the requested frame to that of `picture`.
      repeat_edge: whether pixels from outside the frame are those of its edge, in place of 0.

    Returns:
      float32 array of the shape of `picture`.
    """
    columns, rows = np.moveaxis(_destinations(flow), -1, 0)
    border = cv2.BORDER_REPLICATE if repeat_edge else cv2.BORDER_CONSTANT
    source = picture.astype(np.float32)
    return cv2.remap(source, columns, rows, cv2.INTER_LINEAR, borderMode=border)


def lands_inside(flow: np.ndarray) -> np.ndarray:
    """Masks flow vectors that point inside the frame.

    Args:
      flow: displacements `[H, W, 2]`.

    Returns:
      bool `[H, W]`.
    """
    height, width = flow.shape[:2]
    ends = _destinations(flow)
    return np.all((ends >= 0) & (ends <= (width - 1, height - 1)), axis=-1)


def _destinations(flow: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(flow.shape[:2], np.float32)
    return np.stack([columns, rows], axis=-1) + flow
