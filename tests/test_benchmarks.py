"""The benchmarks run, say what they say they say, and compare with what they said before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measure import compared
from venhancer_jax.startup import cache_folder

ROOT = Path(__file__).parents[1]
TIMES = {"first_seconds", "seconds", "median_seconds", "tflop", "tflop_per_second", "mfu"}
HOST = {"device", "devices", "jax", "peak_gib"}
STEP = {"preset", "shape", "dtype", "guidance", "attention"}
SMALL = ["--preset=debug", "--frames=3", "--height=10", "--width=8"]
AUTOENCODER = """
from venhancer_jax.training.config import training_config


def get_config():
    config = training_config()
    config.preset, config.objective = "debug", "autoencoder"
    config.batch, config.frames, config.height, config.width = 2, 3, 32, 32
    return config.lock()
"""


def run(name: str, *arguments: str) -> dict:
    """The JSON that a benchmark prints."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache_folder() / "compiled")}
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, timeout=600
    )
    return json.loads(done.stdout)


def test_denoise_step(tmp_path: Path):
    saved = tmp_path / "one.json"
    one = run("denoise_step", *SMALL, "--repeats=1", f"--save={saved}", "--attention=xla")
    assert one.keys() == TIMES | HOST | STEP | {"parameters", "trace_seconds", "compile_seconds"}
    assert (one["guidance"], one["attention"], one["mfu"]) == (False, "xla", None)
    assert one["shape"] == [1, 3, 10, 8, 4]
    assert json.loads(saved.read_text()) == one
    profile = tmp_path / "profile"
    flags = ["--repeats=1", "--attention=xla", "--guidance", f"--profile={profile}"]
    pair = run("denoise_step", *SMALL, *flags, f"--baseline={saved}")
    assert pair["tflop"] == pytest.approx(2 * one["tflop"], rel=1e-6)
    assert pair["comparison"]["baseline"] == str(saved)
    assert pair["comparison"]["differ"] == ["guidance", "tflop"]
    ratio = pair["comparison"]["ratios"]["median_seconds"]
    assert ratio == pytest.approx(pair["median_seconds"] / one["median_seconds"])
    assert any(profile.rglob("*.xplane.pb"))


def test_vae():
    made = run("vae", "--preset=debug", "--height=32", "--width=32", "--repeats=2")
    assert made.keys() == HOST | {"preset", "dtype", "encode", "decode"}
    for part in ("encode", "decode"):
        assert made[part].keys() == TIMES | {"shape"}
        assert len(made[part]["seconds"]) == 2
        assert made[part]["tflop_per_second"] > 0


def test_clip():
    made = run("clip", "--preset=demo", "--frames=2", "--height=16", "--width=16", "--up_scale=2")
    assert made["shape"] == [4, 32, 32, 3]
    stages = {f"{stage}_seconds" for stage in ("encode", "denoise", "decode")}
    chosen = {"preset", "dtype", "input_shape", "shape", "working_size", "steps"}
    assert made.keys() == TIMES | HOST | chosen | stages | {"frames_per_second"}
    assert sum(made[stage] for stage in stages) == pytest.approx(made["median_seconds"], rel=0.1)


def test_train_step(tmp_path: Path):
    config = tmp_path / "config.py"
    config.write_text(AUTOENCODER)
    made = run("train_step", f"--config={config}", "--batch=1", "--repeats=1")
    assert made.keys() >= TIMES | HOST
    assert (made["objective"], made["shape"]) == ("autoencoder", [1, 3, 32, 32, 3])
    assert made["clips_per_second"] == pytest.approx(1 / made["median_seconds"])
    assert made["tflop"] > 0


def test_startup_of_a_step():
    made = run("startup", *SMALL)
    phases = {f"{phase}_seconds" for phase in ("trace_and_lower", "compile_or_load", "run")}
    assert made.keys() == HOST | STEP | phases


@pytest.mark.slow
def test_startup_of_the_demo():
    made = run("startup", "--max_frames=2")
    cold, warm = made["cold"], made["warm"]
    assert cold["compile_seconds"] > 2 * warm["compile_seconds"]
    assert cold["load_seconds"] == 0 < warm["load_seconds"]
    for phases in (cold, warm):
        whole = phases.pop("process_seconds")
        assert 0.5 * whole < sum(phases.values()) < whole


def test_comparison():
    then = {"device": "a", "shape": [1, 2], "seconds": [1], "step": {"median_seconds": 2.0}}
    now = {"device": "a", "shape": (1, 2), "seconds": [3], "step": {"median_seconds": 3.0}}
    assert compared(now, then) == {"ratios": {"step.median_seconds": 1.5}, "differ": []}
    now |= {"shape": (1, 3), "peak_gib": 1.0, "mfu": 0.5, "new": 1}
    assert compared(now, then | {"mfu": None})["differ"] == ["new", "shape"]
    assert compared(now, then | {"peak_gib": None})["ratios"].keys() == {"step.median_seconds"}
