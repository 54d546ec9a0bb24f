"""A profile of some steps, for TensorBoard or Perfetto."""

from typing import Any

import jax
from etils import epath


class Profiler:
    """Records a window of steps.

    The steps before and in it are waited for, so that it holds the work of its own steps only.
    """

    def __init__(self, folder: epath.PathLike, *, first: int, steps: int):
        """Decides on the window.

        Args:
          folder: of the profile.
          first: the first step in it, counted from 1; 0 for no profile.
          steps: how many are in it.
        """
        self._folder = str(folder)
        self._first, self._last = first, first + steps - 1
        self._running = False

    def before(self, step: int, state: Any) -> None:
        """To be told of each step, counted from 1, and of the state that it starts from."""
        if step == self._first and self._last >= self._first:
            jax.block_until_ready(state)
            jax.profiler.start_trace(self._folder)
            self._running = True

    def after(self, step: int, state: Any) -> None:
        """To be told of each step and of the state that it ends with."""
        if self._running and step >= self._last:
            jax.block_until_ready(state)
            self.close()

    def close(self) -> None:
        """Ends the window, if it is open."""
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
