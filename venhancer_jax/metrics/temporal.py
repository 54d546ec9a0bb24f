"""Steadiness in time: warping error, difference of motion, flicker."""

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.video.colour.levels import luma, unit_pair
from venhancer_jax.video.flow import dis_flow, lands_inside, warp


def warping_error(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Computes the warping error: mean squared change along the target's optical flow.

    Lai et al. 2018, "Learning Blind Video Temporal Consistency", equations 10 and 11: the mean
    squared difference of a frame and its predecessor warped onto it, over the pixels that are not
    occluded. Flow is `dis_flow` of the target, where the paper has FlowNet2, so that a smooth video
    gains nothing by a smooth flow of its own.

    Args:
      pred: frames of the result, RGB `[F, H, W, 3]`, uint8 or floats from 0 to 1; two frames
        or more.
      target: frames of the target, RGB `[F, H, W, 3]`, uint8 or floats from 0 to 1.

    Returns:
      Errors `[F - 1]` for values from 0 to 1 (papers print them times 1000), NaN where all pixels
      are occluded.

    Raises:
      InputError: shapes differ, fewer than two frames, or too small frames.
    """
    pred, target = unit_pair(pred, target)
    _check_frames(pred, 2, "warping error")
    errors = []
    for i in range(len(pred) - 1):
        forward, backward = dis_flow(target[i], target[i + 1]), dis_flow(target[i + 1], target[i])
        visible = ~occluded(forward, backward)
        change = np.square(warp(pred[i], backward) - pred[i + 1]).mean(axis=-1)
        errors.append(change[visible].mean() if visible.any() else np.nan)
    return np.array(errors)


def occluded(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Masks pixels of the later frame without a certain counterpart in the earlier one.

    Ruder et al. 2016, "Artistic Style Transfer for Videos", equations 5 and 6: flow forward and
    backward does not cancel, or the pixel is at a boundary of motion; also pixels that come from
    outside the frame.

    Args:
      forward: flow `[H, W, 2]` from the earlier frame to the later one.
      backward: flow `[H, W, 2]` from the later frame to the earlier one.

    Returns:
      bool `[H, W]`.
    """
    back = _square(backward)
    forth = warp(forward, backward)
    inconsistent = _square(forth + backward) > 0.01 * (_square(forth) + back) + 0.5
    down = np.diff(backward, axis=0, append=backward[-1:])
    right = np.diff(backward, axis=1, append=backward[:, -1:])
    boundary = _square(down) + _square(right) > 0.01 * back + 0.002
    return inconsistent | boundary | ~lands_inside(backward)


def tof(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Computes tOF, the distance between the motion of a video and that of its target.

    tOF of Chu et al. 2020, "Learning Temporal Coherence via Self-Supervision for GAN-based Video
    Generation", section 5: the mean distance of the two optical flows. Flow is `dis_flow` of each,
    where the paper has Farneback's.

    Args:
      pred: frames of the result, RGB `[F, H, W, 3]`, uint8 or floats from 0 to 1; two frames
        or more.
      target: frames of the target, RGB `[F, H, W, 3]`, uint8 or floats from 0 to 1.

    Returns:
      Distances `[F - 1]` in pixels.

    Raises:
      InputError: shapes differ, fewer than two frames, or too small frames.
    """
    pred, target = unit_pair(pred, target)
    _check_frames(pred, 2, "tOF")
    distances = [
        np.sqrt(_square(dis_flow(*pred[i : i + 2]) - dis_flow(*target[i : i + 2]))).mean()
        for i in range(len(pred) - 1)
    ]
    return np.array(distances)


def flicker(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Computes how much more a video jitters from frame to frame than its target.

    The root mean square of the second difference in time of BT.709 luma, `x[t-1] - 2 x[t] +
    x[t+1]`, which even motion and fades leave small and flicker at half the frame rate makes four
    times its amplitude: that of the video less that of the target.

    Args:
      pred: frames of the result, RGB `[F, H, W, 3]`, uint8 or floats from 0 to 1; three frames
        or more.
      target: frames of the target, RGB `[F, H, W, 3]`, uint8 or floats from 0 to 1.

    Returns:
      Differences `[F - 2]` in levels of 255: 0 for the jitter of the target, above 0 for more.

    Raises:
      InputError: shapes differ, or fewer than three frames.
    """
    pred, target = unit_pair(pred, target)
    _check_frames(pred, 3, "flicker")
    return 255 * (_jitter(pred) - _jitter(target))


def _jitter(frames: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(np.diff(luma(frames), n=2, axis=0)).mean(axis=(1, 2, 3)))


def _square(vectors: np.ndarray) -> np.ndarray:
    return np.square(vectors).sum(axis=-1)


def _check_frames(frames: np.ndarray, least: int, what: str) -> None:
    if len(frames) < least:
        raise InputError(f"{len(frames)} frames: {what} needs at least {least}.")
