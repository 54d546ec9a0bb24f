"""Processes forked off one that has imported everything, which takes longer than their work."""

import gc
import multiprocessing
import os
import runpy
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

PRELOADED = [
    "pipelines.tiny_system",
    "training.forked",
    "training.saver",
    "training.tiny",
    "training.toy",
    "venhancer_jax.cli.sample",
    "venhancer_jax.cli.train",
    "venhancer_jax.training.run",
    "venhancer_jax.training.validation",
    "venhancer_jax.training.venhancer",
]


def fork_context() -> ForkServerContext:
    """Returns the context of processes that start in a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        multiprocessing.forkserver.ensure_running()
    return context


def start(
    output: Path, function: Callable[..., Any], *arguments: Any, devices: int = 1
) -> ForkServerProcess:
    """Starts a function in a process with this many devices.

    Args:
      output: file for all that the process prints.
      function: function of a module, whose result is the exit code.
      *arguments: arguments of the function.
      devices: number of devices, which are placeholders.
    """
    process = fork_context().Process(
        target=_run, args=(output, devices, function, arguments), daemon=True
    )
    process.start()
    return process


def run(
    output: Path, function: Callable[..., Any], *arguments: Any, devices: int, timeout: float = 900
) -> None:
    """Runs a function in a process with this many devices, as `start` does; waits for its end."""
    finish({output: start(output, function, *arguments, devices=devices)}, timeout)


def finish(processes: Mapping[Path, ForkServerProcess], timeout: float = 900) -> None:
    """Waits for processes, by their outputs, that should end well."""
    end = time.monotonic() + timeout
    try:
        for process in processes.values():
            process.join(max(0, end - time.monotonic()))
    finally:
        for process in processes.values():
            process.kill()
    codes = [process.exitcode for process in processes.values()]
    assert not any(codes), "\n".join(output.read_text() for output in processes)


def run_script(path: Path, arguments: Sequence[str]) -> None:
    """Runs a script as `python PATH ARGUMENTS` does."""
    sys.argv = [str(path), *arguments]
    runpy.run_path(str(path), run_name="__main__")


def _run(
    output: Path, devices: int, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    import jax

    gc.set_threshold(100_000, 20, 100)
    with output.open("wb", buffering=0) as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    sys.stdout = os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    jax.config.update("jax_num_cpu_devices", devices)
    sys.exit(function(*arguments))
