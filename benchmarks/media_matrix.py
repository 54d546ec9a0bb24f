"""Enhances inputs of every kind and probes the outputs: a table, and exit code 1 if a row fails.

    python -m benchmarks.media_matrix                       all quick cases, without networks
    python -m benchmarks.media_matrix --slow                also those of many frames
    python -m benchmarks.media_matrix --only=variable       cases whose names contain a word
    python -m benchmarks.media_matrix --config=demo         with the small model of the package

Each case goes through the main of `sample.py` in this process. Without networks pictures come out
as they went in (`benchmarks/media/identity.py`), so that they can be compared to the decibel; with
networks only their colours are, roughly. Outputs are
probed with PyAV. Cases are lists in `benchmarks/media/*_cases.py`.
"""

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from absl import app, flags

from benchmarks.media.cases import Case
from benchmarks.media.facts import Facts
from benchmarks.media.run import IDENTITY, cases, run_case

_CONFIG = flags.DEFINE_string("config", None, "config to enhance with; by default no networks")
_SETTINGS = flags.DEFINE_multi_string("set", [], "settings of all runs, such as steps=1")
_ONLY = flags.DEFINE_string("only", "", "part of the names of cases to run")
_SLOW = flags.DEFINE_bool("slow", False, "whether to run cases of many frames too")

# Facts that only hold where pictures come out as they went in.
_OF_PICTURES = {"comb"}
# Decibels of what networks make of smooth waves; wrong matrices and curves are below.
_LIKE_WITH_NETWORKS = 20.0


def main(arguments: list[str]) -> None:
    """Prints the table; exits with 1 if a row fails."""
    del arguments
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from venhancer_jax.pipelines.registry import SYSTEMS
    from venhancer_jax.startup import use_compilation_cache

    use_compilation_cache()
    SYSTEMS["identity"] = "benchmarks.media.identity"
    settings = dict(item.split("=", 1) for item in _SETTINGS.value)
    chosen = [
        case for case in cases() if _ONLY.value in case.name and (_SLOW.value or not case.slow)
    ]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        config = _CONFIG.value
        if config is None:
            config = str(Path(folder) / "identity.py")
            Path(config).write_text(IDENTITY)
        print("| input | frames | seconds | rate | size | streams | tags | sync | dB | result |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        started = time.perf_counter()
        for case in chosen:
            if _CONFIG.value is not None:
                expected = {k: v for k, v in case.expected.items() if k not in _OF_PICTURES}
                psnr = min(case.psnr, _LIKE_WITH_NETWORKS)
                case = replace(case, expected=expected, psnr=psnr)
            facts, wrong = run_case(case, config, settings)
            failed += bool(wrong)
            print(_row(case, facts, wrong), flush=True)
    seconds = time.perf_counter() - started
    print(f"\n{len(chosen) - failed} of {len(chosen)} rows are right, in {seconds:.0f} s")
    if failed:
        sys.exit(1)


def _row(case: Case, facts: Facts | None, wrong: list[str]) -> str:
    cells = [f"refused: {case.message}" if case.exit_code else "", *[""] * 7]
    if facts is not None:
        rate = "variable" if facts.rate is None else str(facts.rate)
        sync = "" if facts.sync is None else f"{1000 * facts.sync:+.1f} ms"
        cells = [
            str(facts.frames),
            f"{float(facts.seconds):.4f}",
            rate,
            "x".join(map(str, facts.size)),
            " ".join(facts.streams),
            f"{facts.pixel_format} {'/'.join(map(str, facts.tags))}",
            sync,
            "" if facts.psnr is None else f"{facts.psnr:.1f}",
        ]
    return " | ".join(
        ["| " + case.name, *cells, ("**" + "; ".join(wrong) + "**" if wrong else "ok") + " |"]
    )


if __name__ == "__main__":
    app.run(main)
