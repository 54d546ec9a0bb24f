"""Processes forked off one that has imported everything, which takes longer than their work."""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path


def fork_server(preloaded: Sequence[str]) -> ForkServerContext:
    """Returns the context of processes that start in a moment.

    Args:
      preloaded: modules that are imported once.
    """
    # Nothing is computed that is worth a wait for an accelerator.
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preloaded))
    return context


def start(
    context: ForkServerContext, function: str, arguments: Sequence[str], *, folder: Path, log: Path
) -> ForkServerProcess:
    """Starts a command in a process of its own.

    Args:
      context: context of `fork_server`.
      function: command, `MODULE:NAME` of a function from arguments to an exit code.
      arguments: arguments of the command.
      folder: working folder.
      log: file to which everything is appended that the command prints.
    """
    process = context.Process(target=_run, args=(function, [*arguments], folder, log), daemon=True)
    process.start()
    return process


def _run(function: str, arguments: list[str], folder: Path, log: Path) -> None:
    import importlib

    with log.open("ab", buffering=0) as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    sys.stdout = os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    os.chdir(folder)
    module, _, name = function.partition(":")
    sys.exit(getattr(importlib.import_module(module), name)(arguments))
