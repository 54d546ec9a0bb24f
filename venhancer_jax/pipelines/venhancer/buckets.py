"""Few shapes for many clips: each clip is extended to one of a short list of lengths, then cut.

A program is compiled for one number of frames and one size. Clips longer than a window have the
number of frames of the window. A clip that fits in a window has its own, so with `shape_buckets` it
is extended in time to one of four lengths, mirrored at its last frame: a single frame stays alone,
all others get a quarter, a half or the whole of a window. Sizes are padded to multiples that are
twice as coarse. The networks see what is added, so results change a little.
"""

import math
from fractions import Fraction

import numpy as np

# Factor by which working sizes are coarser.
COARSER = 2
_SHARES = (Fraction(0), Fraction(1, 4), Fraction(1, 2), Fraction(1))


def key_frames(frames: int, stride: int, window: int) -> int:
    """Returns the least listed number of key frames that holds a clip.

    Args:
      frames: number of input frames.
      stride: frames of the grid from one input frame to the next.
      window: most frames of the grid in a window.

    Returns:
      Number of key frames with those that are added; `frames` for a clip that fits in no window.
    """
    most = (window - 1) // stride
    lengths = (math.ceil(share * most) + 1 for share in _SHARES)
    return next((length for length in lengths if length >= frames), frames)


def mirror_pad_indices(frames: int, length: int) -> np.ndarray:
    """Returns the source frame of each of `length` frames: 0, 1, 2, 1, 0, 1 for 3 and 6."""
    period = max(1, 2 * (frames - 1))
    position = np.arange(length) % period
    return np.minimum(position, period - position) if frames > 1 else position
