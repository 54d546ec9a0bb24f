"""Enhances damaged videos with random settings, weights and job folders, as JSON.

    python -m benchmarks.fuzz --cases=300

Each case ends within a minute with exit code 0 or 2 and no traceback, and what it leaves under the
name of an output is whole. Exit code 1 if any case does not; the failures are listed.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks.measure import report
from benchmarks.robustness.forked import fork_server, start

CASES = flags.DEFINE_integer("cases", 300, "number of cases")
FIRST = flags.DEFINE_integer("first", 0, "number of the first case, which is its seed")
LOG = flags.DEFINE_string("log", None, "file for all that the cases print")
_PRELOADED = (
    "benchmarks.robustness.fuzz_cases",
    "venhancer_jax.cli.sample",
    "venhancer_jax.convert.__main__",
    "venhancer_jax.pipelines.jobs",
    "venhancer_jax.pipelines.run",
)
_TIMEOUT = 60.0
_BATCH = 20


def main(argv: list[str]) -> None:
    del argv
    begun = time.monotonic()
    context = fork_server(_PRELOADED)
    results: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _run_batch(context, folder, "prepare", [], {})
        left = [*range(FIRST.value, FIRST.value + CASES.value)]
        while left:
            _run_batch(context, folder, "run", left[:_BATCH], results)
            left = [case for case in left if case not in results]
    failures = [
        {"case": case} | result for case, result in sorted(results.items()) if result["problems"]
    ]
    kinds = Counter(result["kind"] for result in results.values())
    report(
        {
            "cases": len(results),
            "kinds": dict(kinds),
            "exit_codes": {
                kind: dict(Counter(str(r["code"]) for r in results.values() if r["kind"] == kind))
                for kind in kinds
            },
            "longest_seconds": max(result["seconds"] for result in results.values()),
            "process_seconds": time.monotonic() - begun,
            "failures": failures,
        }
    )
    sys.exit(1 if failures else 0)


def _run_batch(
    context: Any, folder: Path, command: str, cases: Sequence[int], results: dict[int, Any]
) -> None:
    """Runs cases in a process; one that ends or hangs it counts, and the others are left."""
    log, found = folder / "log", folder / "results"
    log.write_bytes(b"")
    found.write_bytes(b"")
    arguments = [str(folder), *map(str, cases)]
    process = start(
        context, f"benchmarks.robustness.fuzz_cases:{command}", arguments, folder=folder, log=log
    )
    done, since = -1, time.monotonic()
    while process.exitcode is None and time.monotonic() < since + _TIMEOUT:
        process.join(0.2)
        if (size := found.stat().st_size) != done:
            done, since = size, time.monotonic()
    hangs = process.exitcode is None
    process.kill()
    process.join()
    if LOG.value:
        with open(LOG.value, "ab") as file:
            file.write(log.read_bytes())
    finished = [json.loads(line) for line in found.read_text().splitlines()]
    results |= {result.pop("case"): result for result in finished}
    if not cases:
        if process.exitcode != 0:
            raise RuntimeError(log.read_text())
    elif len(finished) < len(cases):
        case = cases[len(finished)]
        problem = f"hangs for {_TIMEOUT} s" if hangs else f"ends the process: {process.exitcode}"
        kind = (folder / "current").read_text()
        results[case] = {
            "kind": kind, "code": process.exitcode, "seconds": time.monotonic() - since,
            "problems": [problem, log.read_text()[-2000:]],
        }  # fmt: skip


if __name__ == "__main__":
    app.run(main)
