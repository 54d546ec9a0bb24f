"""What a case of `benchmarks.media_matrix` is, and how its output is checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from benchmarks.media.facts import Facts


@dataclass(frozen=True)
class Case:
    """One input and what has to come out.

    Attributes:
      name: line of the table.
      make: function that writes the input into an empty folder and returns its path.
      expected: facts of the output by name of `Facts`; a function of the fact returns whether it is
        right, and a float or Fraction is compared within `tolerance`.
      settings: settings of the run, by name.
      output: name of the output.
      exit_code: exit code of the command.
      message: text that the command prints.
      tolerance: seconds by which times may be wrong.
      psnr: decibels that the pictures of the output are like those of the input, at least.
      slow: whether the case takes more than a few seconds.
    """

    name: str
    make: Callable[[Path], Path]
    expected: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    output: str = "out.mp4"
    exit_code: int = 0
    message: str = ""
    tolerance: float = 0.0
    psnr: float = 0.0
    slow: bool = False


def differences(case: Case, facts: Facts) -> list[str]:
    """Lists what is wrong with an output, in words.

    Args:
      case: what was expected.
      facts: what was found.
    """
    found = {name: getattr(facts, name) for name in case.expected}
    wrong = [
        f"{name} {_text(value)}, expected {_text(case.expected[name])}"
        for name, value in found.items()
        if not _is_right(value, case.expected[name], case.tolerance)
    ]
    if not facts.decode_times_rise:
        wrong.append("decode times overlap")
    if facts.sync is not None and abs(facts.sync) > float(facts.seconds / facts.frames) + 0.001:
        wrong.append(f"sound {facts.sync:+.3f} s off")
    return wrong


def _is_right(found: Any, expected: Any, tolerance: float) -> bool:
    if callable(expected):
        return bool(expected(found))
    if isinstance(expected, tuple | list) and isinstance(found, tuple):
        return len(found) == len(expected) and all(
            _is_right(a, b, tolerance) for a, b in zip(found, expected, strict=True)
        )
    if isinstance(expected, float | Fraction) and found is not None:
        return abs(float(found - expected)) <= tolerance + 1e-9
    return found == expected


def _text(value: Any) -> str:
    if callable(value):
        return value.__doc__ or "another"
    if isinstance(value, tuple | list):
        return "(" + ", ".join(_text(each) for each in value) + ")"
    return str(value)
