"""Runs every wrong input of the commands of a system, as a Markdown table.

    python -m benchmarks.wrong_inputs --system=upscale_a_video

Each must end with exit code 2 and a message about what is wrong, without a traceback, and leave
every file as it was, under final and hidden names. Networks are small and weights are zeros.

Exit codes: 0 all are refused so, 1 otherwise.
"""

import contextlib
import importlib
import os
import sys
import tempfile
from pathlib import Path

from absl import app, flags

from benchmarks.wrong_inputs import shared
from benchmarks.wrong_inputs.case import Case, Result, run_case
from venhancer_jax.pipelines.registry import DEFAULT_SYSTEM, SYSTEMS
from venhancer_jax.startup import CACHE_VARIABLE

_CACHE = "cache"
_LONGEST = 160  # characters of a cell


def inputs_of(system: str) -> shared.WrongInputs:
    """Returns the wrong inputs of a system."""
    return importlib.import_module(f"benchmarks.wrong_inputs.{system}").INPUTS


def cases_of(system: str) -> list[Case]:
    """Returns all cases of a system, those that all systems share first."""
    other = shared.option_of_another(system)
    cases = [*shared.SHARED, other, *shared.TRAIN, *shared.CONVERT, *inputs_of(system).cases]
    return list(dict.fromkeys(cases))


def run_cases(system: str, cases: list[Case]) -> list[Result]:
    """Runs cases of a system in the current folder, which must be empty."""
    inputs = inputs_of(system)
    shared.write_inputs(inputs.files)
    shared.write_checkpoints(system, inputs)
    compiled = Path(_CACHE) / "compiled"
    compiled.mkdir(parents=True)
    # Stays when a conversion fails, with an empty lock.
    compiled.with_name("converted").mkdir()
    before = dict(os.environ)
    os.environ |= {CACHE_VARIABLE: str(Path(_CACHE).absolute()), "HF_HUB_OFFLINE": "1"}
    try:
        return [run_case(case, inputs.arguments, compiled) for case in cases]
    finally:
        os.environ.clear()
        os.environ |= before


def row(result: Result) -> str:
    """Formats a result as a row of the table."""
    line = result.first_line
    cells = [
        f"`{result.case.command} {result.case.arguments}`",
        str(result.code),
        _shortened(line),
        _shortened(", ".join(result.left)) or "nothing",
        "; ".join(result.faults) or "-",
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def main(argv: list[str]) -> None:
    del argv
    cases = cases_of(_SYSTEM.value)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        results = run_cases(_SYSTEM.value, cases)
    print("| wrong input | exit code | message | left behind | wrong with it |")
    print("| --- | --- | --- | --- | --- |")
    print(*map(row, results), sep="\n")
    failed = [result for result in results if result.faults]
    print(f"\n{len(results)} wrong inputs, {len(failed)} not refused as they should be")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    _SYSTEM = flags.DEFINE_enum("system", DEFAULT_SYSTEM, sorted(SYSTEMS), "whose inputs")
    app.run(main)
