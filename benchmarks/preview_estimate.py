"""Compares the time that a preview estimates with that of the whole run, as JSON.

    python -m benchmarks.preview_estimate --video=VIDEO
    python -m benchmarks.preview_estimate --video=VIDEO --settings=up_scale=2,fps_scale=1

Both are processes of `sample.py` with the shipped model, one after the other.
"""

import re
import subprocess
import sys
import tempfile

from absl import app, flags

from benchmarks.measure import report

VIDEO = flags.DEFINE_string("video", None, "video to enhance", required=True)
SETTINGS = flags.DEFINE_list("settings", [], "settings of sample.py, such as window=16")


def printed(folder: str, *flags: str) -> str:
    """Runs `sample.py`; returns what it prints."""
    settings = [f"input={VIDEO.value}", f"output={folder}/out.mp4", *SETTINGS.value]
    command = [sys.executable, "-m", "venhancer_jax.cli", "sample", *flags]
    command += [f"--config.{setting}" for setting in settings]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(argv: list[str]) -> None:
    del argv
    with tempfile.TemporaryDirectory() as folder:
        estimate = re.search(r"about ([\d:]+) at the speed", printed(folder, "--preview"))
        measured = re.search(r"wrote .* in ([\d.]+) s", printed(folder))
    assert estimate and measured
    expected = 0
    for part in estimate[1].split(":"):
        expected = 60 * expected + int(part)
    seconds = float(measured[1])
    times = {"estimated_seconds": expected, "measured_seconds": seconds}
    report(times | {"estimate_to_measured": expected / seconds})


if __name__ == "__main__":
    app.run(main)
