"""Runs of the media matrix: a case through the main of `sample.py`, in this process."""

import contextlib
import dataclasses
import importlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.media.cases import Case, differences
from benchmarks.media.facts import Facts, probe_output, psnr

# Text of a config file without networks.
IDENTITY = """
from venhancer_jax.pipelines.config import enhancement_config

def get_config():
    return enhancement_config("identity").lock()
"""


def cases() -> list[Case]:
    """Returns the cases of all lists."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*_cases.py"))
    lists = [importlib.import_module(f"benchmarks.media.{name}").CASES for name in names]
    return [case for each in lists for case in each]


def run_case(case: Case, config: str, settings: dict[str, str]) -> tuple[Facts | None, list[str]]:
    """Runs a case in a folder of its own.

    Args:
      case: input and expectation.
      config: config file or name.
      settings: settings of the run, which those of the case replace.

    Returns:
      Facts of the output, None where none was expected or found, and what is wrong.
    """
    from venhancer_jax.cli.sample import main as enhance

    with _fresh_folder() as folder:
        (folder / "in").mkdir()
        source = case.make(folder / "in")
        output = folder / "out" / case.output
        chosen = {"up_scale": "1", "fps_scale": "1", "input": source, "output": output}
        chosen |= settings | dict(case.settings)
        arguments = [f"--config.{name}={value}" for name, value in chosen.items()]
        printed = io.StringIO()
        handler = logging.StreamHandler(printed)
        logging.getLogger("venhancer_jax").addHandler(handler)
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = enhance([f"--config={config}", *arguments])
        logging.getLogger("venhancer_jax").removeHandler(handler)
        text = printed.getvalue()
        if code != case.exit_code:
            return None, [f"exit code {code}, expected {case.exit_code}: {_last_line(text)}"]
        wrong = []
        if case.message not in text or "Traceback" in text:
            wrong.append(f"said {_last_line(text)!r}, expected {case.message!r}")
        if code:
            return None, wrong + [f"{output.name} was left"] * output.exists()
        facts = probe_output(output)
        wrong += differences(case, facts)
        if case.psnr:
            facts = dataclasses.replace(facts, psnr=(found := psnr(source, output)))
            if found < case.psnr:
                wrong.append(f"{found:.1f} dB like the input, expected {case.psnr:g}")
        return facts, wrong


@contextlib.contextmanager
def _fresh_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")[:200]
