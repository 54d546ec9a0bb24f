"""Stops a run cleanly when its machine is taken away."""

import signal
from types import FrameType

import jax
from jax.experimental import multihost_utils


class Preemption:
    """Notices SIGTERM, which machines that are about to be taken away send.

    Several processes stop at the same step, whichever of them got the signal: JAX agrees on the
    step after that of the fastest one. JAX and Orbax need the distributed service for this, which a
    single process does not have; there the signal sets a flag.
    """

    def __init__(self):
        """Prepares; signals are noticed inside the `with` block."""
        self._noticed = False
        self._older = None

    def __enter__(self) -> "Preemption":
        if jax.process_count() == 1:
            self._older = signal.signal(signal.SIGTERM, self._notice)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._older is not None:
            signal.signal(signal.SIGTERM, self._older)

    def reached(self, step: int) -> bool:
        """Tells whether to save and stop before this step; must be called before each step."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._noticed

    def _notice(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._noticed = True
