"""Commands that stop at once on Ctrl-C and SIGTERM, also inside a long call of a device."""

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_POLL_SECONDS = 0.2
# Seconds that a farewell may take.
_FAREWELL_SECONDS = 1.5

# What a signal removes.
_LEFTOVERS: set[Path] = set()
_FAREWELLS: list[Callable[[int], None]] = []
_ENDING = threading.Event()


def remove_on_interrupt(path: Path) -> None:
    """Has a file or folder, which need not exist, removed if a signal ends the process."""
    _LEFTOVERS.add(path)


def keep_on_interrupt(path: Path) -> None:
    """Takes back `remove_on_interrupt`."""
    _LEFTOVERS.discard(path)


def call_on_interrupt(farewell: Callable[[int], None]) -> None:
    """Has a function called, with the number of the signal, before a signal ends the process."""
    _FAREWELLS.append(farewell)


def wait_if_interrupted() -> None:
    """Waits for the end of a process that a signal ends, where one has arrived."""
    if _ENDING.is_set():
        threading.Event().wait()


def run_interruptible(work: Callable[[], int], message: str) -> int:
    """Runs a command in a thread, so that signals end the process at any moment.

    Python handles signals between its own instructions only, and a compilation or a call of a
    device can take minutes. The process ends without waiting for its threads: what matters must be
    on the disk under its final name. Of the rest, what `remove_on_interrupt` names is removed.

    Args:
      work: command, which returns its exit code.
      message: text for a person who interrupts the command.

    Returns:
      Exit code of the command. After a signal the process exits with 128 plus its number.

    Raises:
      Exception: the command failed.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    received: list[int] = []
    results: list[int] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    def take_signals() -> None:
        for number in _SIGNALS:
            signal.signal(number, lambda number, frame: received.append(number))

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    thread = threading.Thread(target=run, name="command", daemon=True)
    take_signals()
    try:
        thread.start()
        while thread.is_alive():
            # Again and again, as JAX takes SIGTERM for itself when it joins several processes.
            take_signals()
            thread.join(_POLL_SECONDS)
            if received:
                _end(received[0], message)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if errors:
        raise errors[0]
    return results[0]


def _end(number: int, message: str) -> None:
    _ENDING.set()
    for farewell in _FAREWELLS:
        thread = threading.Thread(target=farewell, args=(number,), daemon=True)
        thread.start()
        thread.join(_FAREWELL_SECONDS)
    for path in list(_LEFTOVERS):
        with suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    print(f"\ninterrupted: {message}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(128 + number)
