"""Decisions about frames that stream by, each from a fixed number of frames around."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

S = TypeVar("S")


def mark_frames(
    frames: Iterable[np.ndarray],
    *,
    before: Sequence[np.ndarray],
    summary: Callable[[np.ndarray, S | None], S],
    decide: Callable[[list[S], list[S]], bool],
    reach: tuple[int, int],
) -> Iterator[tuple[np.ndarray, bool]]:
    """Yields frames, each with a decision about it.

    Args:
      frames: frames, one after the other.
      before: frames that precede the first of `frames`; those in reach count.
      summary: function of a frame and the summary of the one before it, None without one.
      decide: function of the summaries before a frame, and of those from it on; fewer at the ends.
        Where marking starts, the first summary had none before it, so that what it says about the
        frame before must not count.
      reach: numbers of summaries before a frame, and from it on, that `decide` receives at most;
        so many frames less one are held back.

    Yields:
      Frame, and its decision.
    """
    back, ahead = reach
    summaries: list[S] = []
    waiting: deque[np.ndarray] = deque()
    place = 0  # of the first waiting frame in `summaries`

    def add(frame: np.ndarray) -> None:
        summaries.append(summary(frame, summaries[-1] if summaries else None))

    def decision() -> tuple[np.ndarray, bool]:
        nonlocal place
        found = decide(summaries[:place], summaries[place:])
        surplus = max(0, place + 1 - back)
        del summaries[:surplus]
        place += 1 - surplus
        return waiting.popleft(), found

    for frame in before[max(0, len(before) - back) :]:
        add(frame)
    place = len(summaries)
    for frame in frames:
        add(frame)
        waiting.append(frame)
        if len(waiting) == ahead:
            yield decision()
    while waiting:
        yield decision()
