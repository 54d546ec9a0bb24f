"""Few shapes for many clips: each is brought to one of a short list, and cut afterwards.

A program is compiled for one number of frames and one size. Clips longer than a window have one
number of frames anyway, that of the window. A clip that fits in a window has its own, so with
`shape_buckets` it is extended in time to one of four lengths, mirrored at its last frame: a single
frame stays alone, all others get a quarter, a half or the whole of a window. Sizes are padded to
multiples that are twice as coarse. The networks see what is added, so results change a little.
"""

import dataclasses
import math
from fractions import Fraction

import numpy as np

from venhancer_jax.pipelines.options import EnhanceOptions
from venhancer_jax.pipelines.venhancer.plan import TimePlan, plan_time

# How much coarser working sizes are.
COARSER = 2
_SHARES = (Fraction(0), Fraction(1, 4), Fraction(1, 2), Fraction(1))


def key_frames(frames: int, stride: int, window: int) -> int:
    """Input frames with those that are added.

    Args:
      frames: of the input.
      stride: frames of the grid from one input frame to the next.
      window: most frames of the grid in a window.

    Returns:
      The least of the list that holds them; `frames` of a clip that fits in no window.
    """
    most = (window - 1) // stride
    lengths = (math.ceil(share * most) + 1 for share in _SHARES)
    return next((length for length in lengths if length >= frames), frames)


def plan_extended_time(frames: int, rate: Fraction, options: EnhanceOptions) -> TimePlan:
    """The plan for a clip with what is added, of which the output takes nothing.

    Without `options.shape_buckets` it is `plan_time(frames, rate, options)`.

    Raises:
      InputError: more frames between two of the input than the network can make.
    """
    plan = plan_time(frames, rate, options)
    if not options.shape_buckets:
        return plan
    extended = key_frames(frames, plan.stride, options.window)
    return dataclasses.replace(plan_time(extended, rate, options), take=plan.take)


def mirror_pad_indices(frames: int, length: int) -> np.ndarray:
    """Which frame of a clip of `frames` each of `length` is: 0, 1, 2, 1, 0, 1 for 3 and 6."""
    period = max(1, 2 * (frames - 1))
    place = np.arange(length) % period
    return np.minimum(place, period - place) if frames > 1 else place
