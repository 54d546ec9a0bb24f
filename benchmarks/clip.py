"""Measures time, memory and operations of enhancing a whole clip, by stage, as JSON.

    python -m benchmarks.clip
    python -m benchmarks.clip --preset=venhancer --frames=32 --height=180 --width=320

From frames in memory to frames in memory, without files. The clip is noise. `--config=demo` runs
the shipped model; `--preset` takes networks of those sizes with random weights, with the settings
of `--config=venhancer` by default.
"""

import functools
import time

import numpy as np
from absl import app, flags, logging
from ml_collections import ConfigDict

from benchmarks.measure import device_facts, peak_gib, report, timing
from benchmarks.random_system import random_system
from venhancer_jax.cli.sample import load_system
from venhancer_jax.command_line import find_config
from venhancer_jax.pipelines.config import options_of
from venhancer_jax.pipelines.networks import compute_dtype
from venhancer_jax.pipelines.options import DTYPES, parse_fps
from venhancer_jax.pipelines.system import Clip, ProgramSpec
from venhancer_jax.sharding.flops import count_flops

CONFIG = flags.DEFINE_string("config", "", "config; by default demo, or venhancer with --preset")
PRESET = flags.DEFINE_string("preset", "demo", "network sizes; all but demo have random weights")
DTYPE = flags.DEFINE_enum("dtype", "auto", DTYPES, "type of weights and activations")
FRAMES = flags.DEFINE_integer("frames", 5, "frames of the input")
HEIGHT = flags.DEFINE_integer("height", 36, "rows of the input")
WIDTH = flags.DEFINE_integer("width", 64, "columns of the input")
SCALE = flags.DEFINE_float("up_scale", 4.0, "enlargement of both sides")
FPS = flags.DEFINE_integer("target_fps", 48, "frame rate of the output; the input has 24")
STEPS = flags.DEFINE_integer("steps", None, "steps of the solver, in place of the config's")
REPEATS = flags.DEFINE_integer("repeats", 1, "timed runs after the first one")
RATE = parse_fps(24)


class Stages:
    """Seconds of each stage of a run, from its progress."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def update(self, stage: str, done: int, total: int | None) -> None:
        del done, total
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now


def enhancement() -> ConfigDict:
    """Returns the config of the flags."""
    name = CONFIG.value or ("demo" if PRESET.value == "demo" else "venhancer")
    config = find_config([f"--config={name}"], name).copy_and_resolve_references().unlock()
    config.update(
        preset=PRESET.value, dtype=DTYPE.value, up_scale=SCALE.value, target_fps=str(FPS.value)
    )
    if STEPS.value:
        config.update(solver_mode="normal", steps=STEPS.value)
    return config


def count_program(program: ProgramSpec) -> int:
    """Counts the operations of all calls of a program."""
    function = functools.partial(program.function, *program.static)
    return round(program.calls * count_flops(function, *program.arguments))


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)
    config = enhancement()
    options = options_of(config)
    system = load_system(config) if PRESET.value == "demo" else random_system(config)
    height, width = HEIGHT.value, WIDTH.value
    plan = system.plan(Clip(frames=FRAMES.value, height=height, width=width, rate=RATE), options)
    draw = np.random.default_rng(0).integers
    clip = [draw(0, 256, (height, width, 3), np.uint8) for _ in range(FRAMES.value)]
    stages, out = Stages(), []

    def run() -> list[np.ndarray]:
        nonlocal stages
        stages = Stages()
        out[:] = system.enhance(clip, rate=RATE, options=options, progress=stages.update)
        return out

    programs = system.programs(plan, options)
    flops = sum(map(count_program, programs))
    times = timing(run, repeats=REPEATS.value, flops=flops)
    chosen = {
        "preset": PRESET.value,
        "dtype": compute_dtype(DTYPE.value).name,
        "input_shape": (FRAMES.value, height, width, 3),
        "shape": (len(out), *out[0].shape),
        "working_size": plan.working_size,
        "calls": {program.name: program.calls for program in programs},
    }
    by_stage = {f"{name}_seconds": value for name, value in stages.seconds.items()}
    rate = {"frames_per_second": len(out) / times["median_seconds"]}
    report(device_facts() | chosen | times | by_stage | rate | {"peak_gib": peak_gib()})


if __name__ == "__main__":
    app.run(main)
