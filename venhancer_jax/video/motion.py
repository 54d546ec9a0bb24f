"""Interpolation of frames along a classical optical flow."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import cv2
import numpy as np

from venhancer_jax.video.flow import dis_flow, warp
from venhancer_jax.video.frames import as_rgb8

FrameInterpolation = Literal["previous", "flow"]
FRAME_INTERPOLATIONS: tuple[FrameInterpolation, ...] = ("previous", "flow")

# Mean difference of the two sides, of 255, above which they show different scenes.
_CUT = 40.0
# Radius in pixels over which the two directions of the flow are compared.
_RADIUS = 3.0


def interpolate_frames(
    first: np.ndarray, second: np.ndarray, times: Sequence[Fraction | float]
) -> list[np.ndarray]:
    """Interpolates frames between two frames.

    Both frames are warped along the flow to each time and blended, the nearer one more. Of the two
    flows, from the first frame and from the second, each pixel weights that one more on which the
    frames agree better. Across a cut the nearer frame is repeated.

    Args:
      first: frame at time 0, uint8 or uint16 RGB `[H, W, 3]`.
      second: frame at time 1, RGB `[H, W, 3]` of the type of `first`.
      times: times of the new frames, within (0, 1).

    Returns:
      Frame at each time, `[H, W, 3]` of the type of `first`.

    Raises:
      InputError: a side is below 16 pixels.
    """
    pair = as_rgb8(first), as_rgb8(second)
    flows = dis_flow(*pair), -dis_flow(*pair[::-1])
    return [_interpolate(first, second, flows, float(time)) for time in times]


def _interpolate(
    first: np.ndarray, second: np.ndarray, flows: tuple[np.ndarray, np.ndarray], time: float
) -> np.ndarray:
    white = np.iinfo(first.dtype).max
    mixed, weights, differences = [], [], []
    for flow in flows:
        before = warp(first, -time * flow, repeat_edge=True)
        after = warp(second, (1 - time) * flow, repeat_edge=True)
        difference = np.abs(before - after).mean(-1) * np.float32(255 / white)
        smooth = cv2.GaussianBlur(difference, (0, 0), _RADIUS)
        mixed.append((1 - time) * before + time * after)
        weights.append(1 / np.square(smooth + 1))
        differences.append(difference.mean())
    if min(differences) > _CUT:
        return first if time < 0.5 else second
    share = (weights[0] / (weights[0] + weights[1]))[..., None]
    return np.rint(share * mixed[0] + (1 - share) * mixed[1]).clip(0, white).astype(first.dtype)
