"""Which frames an output has whose rate is not that of the input."""

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from venhancer_jax.pipelines.system import Progress


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


def at_output_times(
    frames: Iterable[np.ndarray], take: Sequence[int], progress: Progress
) -> Iterator[np.ndarray]:
    """Repeats or drops frames of a grid; reads no frame behind the last that is used.

    Args:
      frames: frames of the grid.
      take: index on the grid of each frame of the output, rising.
      progress: callback for the number of frames of the output.
    """
    position = 0
    for index, frame in enumerate(frames):
        while position < len(take) and take[position] == index:
            yield frame
            position += 1
            progress("decode", position, len(take))
        if position == len(take):
            return
