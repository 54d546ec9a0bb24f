"""Plans many sizes for many slices, and prints what fits where as a table.

    python -m benchmarks.fits --out=FOLDER [--effort=quick] [--only=TEXT]

Every case is one call of `sample.py` or `train.py`, whose `--plan_json` file stays in the folder;
a case whose file exists is not planned again. Exit code 1 if one could not be planned.
"""

import itertools
import json
import subprocess
import sys
from pathlib import Path

from absl import app, flags

OUT = flags.DEFINE_string("out", None, "folder of the plans", required=True)
EFFORT = flags.DEFINE_enum("effort", "full", ["full", "quick"], "effort of the compiler")
ONLY = flags.DEFINE_string(
    "only", "", "text in the names of the cases to plan; others are only shown"
)
PRESET = flags.DEFINE_string("preset", None, "sizes of the networks; by default the published ones")

ROOT = Path(__file__).parents[1]
CHIPS = ("v5e-8", "v6e-8", "v5p-8")
SIZES = ("720x1280", "1080x1920", "1440x2560")
LENGTHS = (32, 16)
PODS = ("v5p-256", "v6e-256")
TRAINING = "--config=configs/train_venhancer.py"


def cases() -> dict[str, list[str]]:
    """Returns the command line of each case by its name."""
    commands = {}
    for frames, size, chips in itertools.product(LENGTHS, SIZES, CHIPS):
        commands[f"{size}x{frames}-{chips}"] = [
            "sample.py",
            "--config=configs/venhancer.py",
            f"--plan_clip={size}x{frames}",
            f"--plan={chips}",
        ]
    for chips in PODS:
        commands[f"train-{chips}"] = ["train.py", TRAINING, f"--plan={chips}"]
    return commands


def plan(arguments: list[str], file: Path) -> bool:
    """Plans a case; returns whether that was possible."""
    command = [sys.executable, *arguments, f"--plan_effort={EFFORT.value}", f"--plan_json={file}"]
    if PRESET.value:
        command.append(f"--config.preset={PRESET.value}")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    file.with_suffix(".txt").write_text(done.stdout + done.stderr)
    if done.returncode in (0, 1):
        return True
    print(f"{file.stem}: exit code {done.returncode}\n{done.stderr[-2000:]}", flush=True)
    return False


def row(name: str, facts: dict, program: str) -> str:
    stats = facts["programs"][program]
    gib = stats["bytes_per_chip"] / 2**30
    verdict = "yes" if stats["fits"] else "no"
    return (
        f"| {name} | {program} | {gib:.2f} | {stats['limit_bytes'] / 2**30:.2f} | {verdict} |"
        f" {stats['step_seconds_estimate']:.3g} | {stats['compile_seconds']:.0f} |"
    )


def main(argv: list[str]) -> None:
    del argv
    out = Path(OUT.value).absolute()
    out.mkdir(parents=True, exist_ok=True)
    print("| case | program | GiB a chip | limit | fits | estimated s | compile s |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    failed = False
    for name, arguments in cases().items():
        file = out / f"{name}.json"
        if not file.exists() and ONLY.value in name:
            failed |= not plan(arguments, file)
        if file.exists():
            facts = json.loads(file.read_text())
            for program in facts["programs"]:
                if program != "text":
                    print(row(name, facts, program), flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    app.run(main)
