"""Claims of outputs among runs on one machine, or on machines that share a file system.

A claim is a file beside the output, which its run touches every few seconds. That of a run that
ended without removing it is taken over: on one machine as soon as the process is gone, from another
machine when the file has not changed for a minute.
"""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from filelock import SoftFileLease, Timeout

from venhancer_jax.errors import InputError
from venhancer_jax.interrupt import keep_on_interrupt, remove_on_interrupt

# A run on another machine that shows no sign of life for so long is dead.
CLAIM_SECONDS = 60.0


class ClaimedError(InputError):
    """Another run writes the output."""


class Claim:
    """Claim of an output. One object per output and run notices that another run died."""

    def __init__(self, target: Path):
        """Stores which output is meant; nothing is claimed yet.

        Args:
          target: final name of the output.
        """
        self._target = target
        self._path = target.with_name(f".{target.name}.claim")
        self._lease = SoftFileLease(self._path, lease_duration=CLAIM_SECONDS, thread_local=False)
        self._seen: tuple[tuple[int, int, int], float] | None = None

    @contextmanager
    def held(self, *, wait: float) -> Iterator[Self]:
        """Claims the output while the block runs.

        Args:
          wait: seconds to wait for another run.

        Raises:
          ClaimedError: another run has the output.
        """
        self._target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lease.acquire(timeout=wait)
        except Timeout:
            self._remove_dead()
            raise ClaimedError(
                f"{self._target}: another run is writing this output. Wait for it to end, choose"
                " another output, or set --config.share=True to divide a folder between runs"
            ) from None
        remove_on_interrupt(self._path)
        try:
            yield self
        finally:
            self._lease.release()
            keep_on_interrupt(self._path)

    @property
    def is_lost(self) -> bool:
        """Returns whether another run has taken over, as if this one were dead."""
        return self._lease.compromise is not None

    def check(self) -> None:
        """Checks that the output still belongs to this run.

        Raises:
          ClaimedError: this run was stopped for so long that another one has taken over.
        """
        if self.is_lost:
            raise ClaimedError(f"{self._target}: another run has taken over this output")

    def _remove_dead(self) -> None:
        """Removes the claim of a dead run where the file system cannot swap names, such as NFS.

        Elsewhere the lease has taken over long before.
        """
        with suppress(OSError):
            found = _identity(self._path)
            if self._seen is None or self._seen[0] != found:
                self._seen = found, time.monotonic()
            elif time.monotonic() - self._seen[1] > 2 * CLAIM_SECONDS:
                aside = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
                self._path.rename(aside)
                if _identity(aside)[:2] != found[:2]:  # a run that was faster
                    os.link(aside, self._path)
                aside.unlink()


def _identity(path: Path) -> tuple[int, int, int]:
    """Returns what changes when a claim is touched or replaced."""
    facts = path.stat()
    return facts.st_ino, facts.st_mtime_ns, facts.st_size
