"""Progress bars with the time left."""

from collections.abc import Callable
from typing import Self

from tqdm import tqdm

# Called with `(stage, done, total)`; the total is None while it is not known.
Progress = Callable[[str, int, int | None], None]


class ProgressBars:
    """One progress bar after the other, one for each stage."""

    def __init__(self, frames: int):
        """Starts without a bar.

        Args:
          frames: total of stages that do not know theirs, the number of input frames.
        """
        self._frames = frames
        self._bar: tqdm | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, stage: str, done: int, total: int | None) -> None:
        """Shows that `done` of `total` units of a stage are finished."""
        if self._bar is None or self._bar.desc.strip(": ") != stage:
            if self._bar is not None:
                self._bar.close()
            unit = "step" if stage == "denoise" else "frame"
            self._bar = tqdm(total=total or self._frames, desc=stage, unit=unit)
        self._bar.update(done - self._bar.n)
