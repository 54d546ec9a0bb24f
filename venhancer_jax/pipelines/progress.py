"""Progress of a run, with the time left."""

import time
from collections.abc import Callable
from typing import Self

from tqdm import tqdm

from venhancer_jax.sharding.processes import is_main_process, log_on_main

# Called with `(stage, done, total)`; the total is None while it is not known.
Progress = Callable[[str, int, int | None], None]


class RunProgress:
    """Progress in frames of the output: a bar on a terminal, else a line for each segment.

    with RunProgress(960) as progress:
        progress.update("decode", 1, 64)
        progress.finish_segment(64)

    Attributes:
      frames: number of frames of the output.
      done: number of those that are decoded.
    """

    def __init__(self, frames: int, finished: int = 0):
        """Sets the total.

        Args:
          frames: number of frames of the output.
          finished: number of those that are finished already.
        """
        self.frames = frames
        self.done = self._finished = self._started_with = min(finished, frames)
        self._decoded = self._finished  # at the beginning of the segment that is decoded
        self._started = time.perf_counter()
        self._first: tuple[int, float] | None = None
        self._bar = tqdm(
            total=frames,
            initial=self._finished,
            unit="frame",
            smoothing=0,  # frames come in bursts
            disable=None if is_main_process() else True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def update(self, stage: str, done: int, total: int | None) -> None:
        """Shows that `done` of `total` units of a stage of a segment are finished."""
        self._bar.set_postfix_str(f"{stage} {done}" + (f"/{total}" if total else ""), refresh=False)
        if stage == "decode" and total:
            self.done = min(self._decoded + done, self.frames)
            self._bar.update(self.done - self._bar.n)
            self._decoded += done if done == total else 0
        else:
            self._bar.refresh()  # which `update` would not do without a new frame

    def finish_segment(self, count: int) -> None:
        """Counts a segment of `count` frames that is written."""
        now = time.perf_counter()
        self._finished = min(self._finished + count, self.frames)
        left = self.seconds_left(now)
        if self._first is None:
            self._first = self._finished, now
        if self._bar.disable:
            share = self._finished / self.frames
            about = "" if not left else f", about {tqdm.format_interval(left)} left"
            log_on_main(f"{self._finished} of {self.frames} frames ({share:.0%}){about}")

    def seconds_left(self, now: float) -> float | None:
        """Returns the seconds to the end, from the speed so far; None before any frame.

        The first segment, which compiles, counts only until there is another.

        Args:
          now: time of `time.perf_counter` to measure the speed at.
        """
        frames, since = self._first or (self._started_with, self._started)
        if self._finished == frames:
            return None
        return (now - since) / (self._finished - frames) * (self.frames - self._finished)
