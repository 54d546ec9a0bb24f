"""Signals end a command at once, also inside a long call that does not return to Python."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from venhancer_jax.interrupt import run_interruptible

ROOT = Path(__file__).parents[1]
# `pthread_join` with the interpreter's lock held by nobody, as a call of a device: it returns to
# Python after a minute.
PROGRAM = """
import ctypes, sys, threading, time
from pathlib import Path
from venhancer_jax.interrupt import keep_on_interrupt, remove_on_interrupt, run_interruptible

def work():
    for name in ("folder", "kept"):
        Path(name).mkdir()
        Path(name, "file").touch()
        remove_on_interrupt(Path(name))
    remove_on_interrupt(Path("absent"))
    keep_on_interrupt(Path("kept"))
    # As libraries have them.
    threading.Thread(target=time.sleep, args=(60,), daemon=False).start()
    print("started", flush=True)
    ctypes.CDLL(None).sleep(60)
    return 0

sys.exit(run_interruptible(work, "run it again"))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_in_a_long_call(number: int, code: int, tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "started\n"
        process.send_signal(number)
        begun = time.monotonic()
        _, printed = process.communicate(timeout=20)
        assert time.monotonic() - begun < 2
    finally:
        process.kill()
    assert process.returncode == code
    assert printed == "\ninterrupted: run it again\n"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_results_and_errors_of_commands():
    before = signal.getsignal(signal.SIGTERM)
    assert run_interruptible(lambda: 3, "") == 3
    with pytest.raises(KeyError):
        run_interruptible(lambda: {}[0], "")
    assert signal.getsignal(signal.SIGTERM) is before
