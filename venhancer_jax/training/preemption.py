"""Stops a run in good order when its machine is taken away."""

import signal
from types import FrameType

import jax
from jax.experimental import multihost_utils


class Preemption:
    """Notes SIGTERM, which machines that are about to be taken away send.

    With several processes all of them stop at the same step, whichever was told first: they agree
    on the step after the one that the fastest of them has reached.
    """

    def __init__(self):
        self._asked = False
        self._before = None

    def __enter__(self) -> "Preemption":
        # With several processes JAX handles the signal, and tells the others.
        if jax.process_count() == 1:
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def reached(self, step: int) -> bool:
        """Whether to save and stop before this step; to be asked before each one."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._asked

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._asked = True
