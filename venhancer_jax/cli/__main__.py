"""The console script `venhancer-jax`, also `python -m venhancer_jax.cli`."""

import importlib
import sys
from collections.abc import Sequence

# Command -> module with a function `main(arguments) -> exit code`, and what it does.
_COMMANDS = {
    "sample": ("venhancer_jax.cli.sample", "enhance a video, or a folder of videos"),
    "train": ("venhancer_jax.cli.train", "train the networks"),
    "plan": ("venhancer_jax.cli.plan", "compile for chips that need not be present"),
    "convert": ("venhancer_jax.convert.__main__", "PyTorch checkpoints to weight folders and back"),
    "parity": ("venhancer_jax.convert.parity.__main__", "replay recordings of PyTorch programs"),
    "evaluate": ("venhancer_jax.evaluate", "measure results against references"),
    "report": ("venhancer_jax.cli.report", "a page that shows a result beside its input"),
    "prepare": ("venhancer_jax.data.prepare", "make a data set of a folder of videos"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command not in _COMMANDS:
        print("venhancer-jax COMMAND --help\n")
        for name, (_, what) in _COMMANDS.items():
            print(f"  {name:10} {what}")
        return 0 if command in ("-h", "--help") else 2
    return importlib.import_module(_COMMANDS[command][0]).main(rest)


if __name__ == "__main__":
    sys.exit(main())
