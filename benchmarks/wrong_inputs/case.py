"""One wrong input: how it is run, and what is wrong with how a command refuses it."""

import contextlib
import dataclasses
import io
import shlex
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from venhancer_jax.cli import sample, train
from venhancer_jax.convert import __main__ as convert

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "sample": sample.main,
    "train": train.main,
    "convert": convert.main,
}
REFUSED = 2  # exit code of wrong input


@dataclasses.dataclass(frozen=True)
class Case:
    """A wrong input of a command.

    Attributes:
      arguments: what is wrong, as on the command line, after the arguments of every case.
      message: part of the expected message.
      command: key of `COMMANDS`.
    """

    arguments: str
    message: str
    command: str = "sample"


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command did with a wrong input.

    Attributes:
      case: wrong input.
      code: exit code.
      printed: standard error, with the traceback of an exception.
      left: files and folders that were written, changed or removed.
    """

    case: Case
    code: int
    printed: str
    left: tuple[str, ...]

    @property
    def first_line(self) -> str:
        """Returns the first line of the message, without what a progress bar left before it."""
        lines = [line for line in self.printed.splitlines() if line.strip()]
        # Of a traceback the last line says most.
        return next((line for line in lines if line.startswith("error: ")), (lines or [""])[-1])

    @property
    def faults(self) -> list[str]:
        """Returns what is wrong with the refusal; empty for a good one."""
        found = []
        if self.code != REFUSED:
            found.append(f"exit code {self.code}")
        if "Traceback" in self.printed:
            found.append("a traceback")
        if self.case.message not in self.printed:
            found.append(f"no {self.case.message!r} in the message")
        if self.left:
            found.append("something left behind")
        return found


def run_case(case: Case, arguments: Mapping[str, list[str]], cache: Path) -> Result:
    """Runs a command with a wrong input, in this process and the current folder.

    Removes what it wrote, for the cases after it.

    Args:
      case: wrong input.
      arguments: arguments of every case by command, each of which the case may set again.
      cache: folder of compiled programs, which may be added to.
    """
    before = _files(cache)
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            chosen = [*arguments.get(case.command, []), *shlex.split(case.arguments)]
            code = COMMANDS[case.command](chosen)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        except Exception:
            traceback.print_exc(file=errors)
            code = 1
    after = _files(cache)
    left = sorted(name for name in before | after if before.get(name) != after.get(name))
    for name in sorted(after.keys() - before.keys(), reverse=True):
        path = Path(name)
        path.rmdir() if path.is_dir() else path.unlink()
    return Result(case, code, errors.getvalue(), tuple(left))


def _files(cache: Path) -> dict[str, tuple[int, int]]:
    """Returns size and time of change of all files, hidden ones too; locks hold nothing."""
    found: dict[str, tuple[int, int]] = {}
    for path in Path().rglob("*"):
        if path.suffix == ".lock" or path.is_relative_to(cache):
            continue
        stat = path.lstat()
        found[str(path)] = (0, 0) if path.is_dir() else (stat.st_size, stat.st_mtime_ns)
    return found
