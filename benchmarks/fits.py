"""What fits where: `--plan` for many sizes and slices, as a table.

    python -m benchmarks.fits --out=FOLDER [--effort=quick] [--only=TEXT]

Every case is one call of `sample.py` or `train.py`, whose `--plan_json` file stays in the folder;
what is there is not planned again.
"""

import itertools
import json
import subprocess
import sys
from pathlib import Path

from absl import app, flags

OUT = flags.DEFINE_string("out", None, "folder of the plans", required=True)
EFFORT = flags.DEFINE_enum("effort", "full", ["full", "quick"], "of the compiler")
ONLY = flags.DEFINE_string("only", "", "plan cases whose name has this text; all others are shown")

ROOT = Path(__file__).parents[1]
CHIPS = ("v5e-8", "v6e-8", "v5p-8")
SIZES = ("720x1280", "1080x1920", "1440x2560")
LENGTHS = (32, 16)
PODS = ("v5p-256", "v6e-256")
# The issue of 256 clips of 16 frames, which is the paper's size.
TRAINING = ("--config=configs/train_venhancer.py", "--config.frames=16")


def cases() -> dict[str, list[str]]:
    """Name and command line of each."""
    found = {}
    for frames, size, chips in itertools.product(LENGTHS, SIZES, CHIPS):
        found[f"{size}x{frames}-{chips}"] = [
            "sample.py",
            "--config=configs/venhancer.py",
            f"--plan_clip={size}x{frames}",
            f"--plan={chips}",
        ]
    for chips in PODS:
        found[f"train-{chips}"] = ["train.py", *TRAINING, f"--plan={chips}"]
    return found


def plan(arguments: list[str], file: Path) -> None:
    command = [sys.executable, *arguments, f"--plan_effort={EFFORT.value}", f"--plan_json={file}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    file.with_suffix(".txt").write_text(done.stdout + done.stderr)
    if done.returncode not in (0, 1):
        print(f"{file.stem}: exit code {done.returncode}\n{done.stderr[-2000:]}", flush=True)


def row(name: str, facts: dict, program: str) -> str:
    of = facts["programs"][program]
    gib = of["bytes_per_chip"] / 2**30
    verdict = "yes" if of["fits"] else "no"
    return (
        f"| {name} | {program} | {gib:.2f} | {of['limit_bytes'] / 2**30:.2f} | {verdict} |"
        f" {of['step_seconds_estimate']:.3g} | {of['compile_seconds']:.0f} |"
    )


def main(argv: list[str]) -> None:
    del argv
    out = Path(OUT.value).absolute()
    out.mkdir(parents=True, exist_ok=True)
    print("| case | program | GiB a chip | limit | fits | estimated s | compile s |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for name, arguments in cases().items():
        file = out / f"{name}.json"
        if not file.exists() and ONLY.value in name:
            plan(arguments, file)
        if file.exists():
            facts = json.loads(file.read_text())
            for program in facts["programs"]:
                if program != "text":
                    print(row(name, facts, program), flush=True)


if __name__ == "__main__":
    app.run(main)
