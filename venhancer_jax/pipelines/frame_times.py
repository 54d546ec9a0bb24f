"""Which frames an output has whose rate is not that of the input."""

import math
from fractions import Fraction


def nearest_frames(frames: int, ratio: Fraction, stride: int = 1) -> tuple[int, ...]:
    """Returns the index on a grid of the frame that is nearest to each output time.

    The output lasts as long as the input; its last frames are held.

    Args:
      frames: number of input frames.
      ratio: frames per second of the output over the input's.
      stride: frames of the grid from one input frame to the next.
    """
    count = max(1, math.floor(frames * ratio + Fraction(1, 2)))
    nearest = (math.floor(j * stride / ratio + Fraction(1, 2)) for j in range(count))
    last = (frames - 1) * stride
    return tuple(min(i, last) for i in nearest)
