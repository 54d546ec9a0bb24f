"""Which frames an output has whose rate is not that of the input."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from venhancer_jax.pipelines.options import EnhanceOptions
from venhancer_jax.pipelines.progress import Progress


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputClock:
    """Times at which the frames of an output are shown.

    Attributes:
      time_base: seconds per tick of the input.
      stride: frames of the grid from one input frame to the next.
      rate: frames per second of the output; None for every frame of the grid at its own time.
      holds_last: whether the last frame of the clip is shown as long as the input shows it; else
        the output ends with the first frame of the output that shows it.
    """

    time_base: Fraction
    stride: int
    rate: Fraction | None
    holds_last: bool = True

    @property
    def output_base(self) -> Fraction:
        """Returns the seconds per tick of the output."""
        return self.time_base / self.stride if self.rate is None else 1 / self.rate

    def outputs(
        self, times: Sequence[tuple[int, int]], *, ends_scene: bool, ends_clip: bool
    ) -> list[tuple[int, int]]:
        """Lists the output frames that are shown during some input frames.

        At the end of a scene the last frame is held; nothing lies between two scenes.

        Args:
          times: tick and end of neighbouring input frames.
          ends_scene: whether the scene ends with them.
          ends_clip: whether the clip ends with them, whose output lasts as long as the input, in
            whole frames.

        Returns:
          Index on the grid, counted from the first of the input frames, and tick of each frame.
        """
        last = (len(times) - 1) * self.stride if ends_scene else len(times) * self.stride
        if self.rate is None:
            return [
                (min(k * self.stride + i, last), tick * self.stride + i * (end - tick))
                for k, (tick, end) in enumerate(times)
                for i in range(self.stride)
            ]
        per_tick = self.rate * self.time_base
        first = math.ceil(times[0][0] * per_tick)
        stop = math.ceil(times[-1][1] * per_tick)
        if ends_clip:
            stop = max(1, math.floor(times[-1][1] * per_tick + Fraction(1, 2)))
        listed, k = [], 0
        for j in range(first, stop):
            time = j / per_tick
            while k + 1 < len(times) and times[k][1] <= time:
                k += 1
            if ends_clip and not self.holds_last and listed and listed[-1][0] == last:
                break
            tick, end = times[k]
            within = (time - tick) / (end - tick) * self.stride
            listed.append((min(k * self.stride + math.floor(within + Fraction(1, 2)), last), j))
        return listed


def nearest_frames(frames: int, ratio: Fraction, stride: int = 1) -> tuple[int, ...]:
    """Returns the index on a grid of the frame that is nearest to each output time.

    The output lasts as long as the input; its last frames are held.

    Args:
      frames: number of input frames.
      ratio: frames per second of the output over the input's.
      stride: frames of the grid from one input frame to the next.
    """
    clock = OutputClock(time_base=Fraction(1), stride=stride, rate=ratio)
    times = [(i, i + 1) for i in range(frames)]
    return tuple(i for i, _ in clock.outputs(times, ends_scene=True, ends_clip=True))


def output_clock(
    rate: Fraction, time_base: Fraction | None, options: EnhanceOptions, stride: int
) -> OutputClock:
    """Returns the times of an output.

    Evenly spaced frames stay so at the rate of the options. Frames at times of their own keep them,
    with new ones evenly between, unless the options ask for a rate or for no whole multiple.

    Args:
      rate: frames per second of the input, the mean of frames at times of their own.
      time_base: seconds per tick of frames at times of their own; None for evenly spaced ones.
      options: options of the user.
      stride: frames of the grid from one input frame to the next.
    """
    if time_base is not None and options.target_fps is None and options.fps_scale == stride:
        return OutputClock(time_base=time_base, stride=stride, rate=None)
    target = options.output_rate(rate)
    return OutputClock(time_base=time_base or 1 / rate, stride=stride, rate=target)


def at_output_times(
    frames: Iterable[np.ndarray], outputs: Sequence[tuple[int, int]], progress: Progress
) -> Iterator[tuple[np.ndarray, int]]:
    """Repeats or drops frames of a grid; reads no frame behind the last that is used.

    Args:
      frames: frames of the grid.
      outputs: index on the grid and tick of each frame of the output, both rising.
      progress: callback for the number of frames of the output.

    Yields:
      Frames of the output, each with its tick.
    """
    position = 0
    for index, frame in enumerate(frames if outputs else ()):
        while position < len(outputs) and outputs[position][0] == index:
            yield frame, outputs[position][1]
            position += 1
            progress("decode", position, len(outputs))
        if position == len(outputs):
            return
