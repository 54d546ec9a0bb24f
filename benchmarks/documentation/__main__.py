"""Runs every command of the documentation, as a Markdown table.

    python -m benchmarks.documentation [--pages=README.md,docs/enhance.md] [--only=sample.py]

Commands run in the order of their page, each page in a folder of its own in which the checkout is
linked. Clips, captions and weights that they name are made beforehand; where a network of published
size would take hours on a small machine, arguments are added that make it small. The table shows
what was run; commands of clouds and clusters are listed with the reason why they were not.

Exit codes: 0 all commands that were run succeeded, 1 otherwise.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags, logging

from benchmarks.documentation.pages import PAGES, ROOT, commands_of
from benchmarks.documentation.stand_ins import rule_of, write_stand_ins

_PAGES = flags.DEFINE_list("pages", list(PAGES), "pages whose commands are run")
_ONLY = flags.DEFINE_string("only", "", "part of the commands that are run; all by default")
_SECONDS = flags.DEFINE_integer("seconds", 1800, "seconds that a command may take")
_LINKED = ("sample.py", "train.py", "configs", "convert", "benchmarks", "tests", "venhancer_jax",
           "pyproject.toml", "README.md", "LICENSE")  # fmt: skip


def run_page(page: str, only: str, seconds: float) -> list[int | str]:
    """Runs the commands of a page in the current folder, which must be empty, and prints rows.

    Args:
      page: path of the page from the root of the checkout.
      only: part of the commands that are run.
      seconds: seconds that a command may take.

    Returns:
      Exit code of each command, or `not run`.
    """
    for name in _LINKED:
        Path(name).symlink_to(ROOT / name)
    write_stand_ins()
    codes = []
    for command in commands_of((ROOT / page).read_text()):
        if only not in command:
            continue
        rule = rule_of(command)
        if rule.reason:
            code, took, last = "not run", "", rule.reason
        else:
            command, started = rule.applied(command), time.perf_counter()
            code, last = _run(command, seconds)
            took = f"{time.perf_counter() - started:.0f} s"
        print(_row(page, command, code, took, last if code else ""), flush=True)
        codes.append(code)
    return codes


def _run(command: str, seconds: float) -> tuple[int, str]:
    """Runs a command in a shell; returns its exit code and the last line that it printed."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        # Most commands compile more than they compute.
        "XLA_FLAGS": f"--xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}",
    }
    try:
        done = subprocess.run(
            ["bash", "-c", command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return 124, f"took more than {seconds} s"
    return done.returncode, (done.stdout.strip().splitlines() or [""])[-1]


def _row(page: str, command: str, *others: object) -> str:
    escaped = [str(cell).replace("|", "\\|") for cell in (page, f"`{command}`", *others)]
    return f"| {' | '.join(escaped)} |"


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)
    codes: list[int | str] = []
    started = time.perf_counter()
    print("| page | command | exit code | time | |\n| --- | --- | --- | --- | --- |", flush=True)
    for page in _PAGES.value:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            codes += run_page(page, _ONLY.value, _SECONDS.value)
    failed = sum(code not in (0, "not run") for code in codes)
    minutes = (time.perf_counter() - started) / 60
    print(
        f"\n{len(codes)} commands in {minutes:.0f} minutes: {codes.count('not run')} not run,"
        f" {failed} failed"
    )
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    app.run(main)
