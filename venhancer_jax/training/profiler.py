"""Profiles some steps, for TensorBoard or Perfetto."""

from typing import Any

import jax
from etils import epath


class Profiler:
    """Records a range of steps; waits for the step before it and for its last one."""

    def __init__(self, folder: epath.PathLike, *, first: int, steps: int):
        """Sets the range.

        Args:
          folder: folder of the profile.
          first: first step of the range, counted from 1; 0 for no profile.
          steps: number of steps in the range.
        """
        self._folder = str(folder)
        self._first, self._last = first, first + steps - 1
        self._running = False

    def before(self, step: int, state: Any) -> None:
        """Starts the profile if the range begins with this step, which starts from `state`."""
        if step == self._first and self._last >= self._first:
            jax.block_until_ready(state)
            jax.profiler.start_trace(self._folder)
            self._running = True

    def after(self, step: int, state: Any) -> None:
        """Ends the profile if the range ends with this step, which results in `state`."""
        if self._running and step >= self._last:
            jax.block_until_ready(state)
            self.close()

    def close(self) -> None:
        """Ends the profile if it is running."""
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
