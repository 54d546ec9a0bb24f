"""Measures the seconds until a run is under way, by phase, as JSON.

    python -m benchmarks.startup                        the demo, twice
    python -m benchmarks.startup --preset=venhancer     one denoising step

The demo is what `python sample.py` does, in two processes with a compilation cache of their own:
`cold` finds it empty, `warm` finds it filled. Programs are traced, lowered to StableHLO, and
compiled or loaded from the cache (`compile`); the rest of the enhancement is `run`. The step is
that of `benchmarks.denoise_step`, whose flags set the shape.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from absl import app, flags

PRESET = flags.DEFINE_string("preset", "demo", "demo for the whole run, or network sizes of a step")
MAX_FRAMES = flags.DEFINE_integer("max_frames", None, "frames of the demo's clip, by default all")
_ROOT = Path(__file__).parents[1]
_PHASES = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile",
}


class Phases:
    """Seconds by phase from the events of JAX; events within an event count once."""

    def __init__(self):
        self._spans: list[tuple[str, float, float]] = []

    def record(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        """Records an event that has just ended, in place of all events within it."""
        del kwargs
        if event in _PHASES:
            end = time.perf_counter()
            start = end - duration_secs
            self._spans = [span for span in self._spans if span[1] < start]
            self._spans.append((_PHASES[event], start, end))

    def seconds(self) -> dict[str, float]:
        """Returns the seconds of each phase so far."""
        return {
            phase: sum(end - start for name, start, end in self._spans if name == phase)
            for phase in _PHASES.values()
        }


def demo_run(arguments: list[str]) -> dict[str, float]:
    """Runs `sample.py` with these arguments, timed; to be called in a fresh process."""
    laps = {}
    since = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal since
        laps[name], since = time.perf_counter() - since, time.perf_counter()

    import jax

    from venhancer_jax.cli import sample
    from venhancer_jax.pipelines.jobs import check_jobs
    from venhancer_jax.pipelines.run import run_jobs
    from venhancer_jax.startup import use_compilation_cache

    lap("import")
    phases = Phases()
    jax.monitoring.register_event_duration_secs_listener(phases.record)
    config, _ = sample.parse_sample_config(arguments)
    assert config is not None
    jobs, _ = check_jobs(config)
    use_compilation_cache()
    lap("check")
    system = sample.load_system(config)
    lap("weights")
    before = phases.seconds()
    run_jobs(system, jobs, {})
    lap("run")
    compiling = {name: seconds - before[name] for name, seconds in phases.seconds().items()}
    return laps | compiling | {"run": laps["run"] - sum(compiling.values())}


def demo() -> dict[str, Any]:
    """Runs the demo with an empty compilation cache, and again."""
    seconds = {}
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [f"--config.output={scratch}/out.mp4"]
        if MAX_FRAMES.value:
            arguments.append(f"--config.max_frames={MAX_FRAMES.value}")
        code = (
            "import json; from benchmarks.startup import demo_run;"
            f" print(json.dumps(demo_run({arguments!r})))"
        )
        environment = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": f"{scratch}/cache",
            "PYTHONPATH": str(_ROOT),
        }
        for name in ("cold", "warm"):
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", code],
                env=environment, check=True, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            whole = {"process_seconds": time.perf_counter() - start}
            phases = json.loads(done.stdout.splitlines()[-1])
            seconds[name] = whole | {f"{phase}_seconds": s for phase, s in phases.items()}
    return seconds


def step() -> dict[str, Any]:
    """Times one denoising step: trace and lower, compile or load from JAX's cache, and run."""
    import jax

    from benchmarks.denoiser import denoise_call
    from venhancer_jax.pipelines import programs

    call = denoise_call(PRESET.value)
    params = call.params()
    seconds, since = {}, time.perf_counter()

    def lap(name: str) -> None:
        nonlocal since
        seconds[f"{name}_seconds"], since = time.perf_counter() - since, time.perf_counter()

    lowered = programs.denoise.lower(call.network, call.plan, params, *call.inputs)
    lap("trace_and_lower")
    compiled = lowered.compile()
    lap("compile_or_load")
    jax.block_until_ready(compiled(params, *call.inputs))
    lap("run")
    return call.facts | seconds


def main(argv: list[str]) -> None:
    del argv
    measured = {"preset": "demo"} | demo() if PRESET.value == "demo" else step()
    from benchmarks.measure import device_facts, peak_gib, report

    report(device_facts() | measured | {"peak_gib": peak_gib()})


if __name__ == "__main__":
    # Defines the flags of the shape and of the report.
    import benchmarks.denoiser  # noqa: F401

    app.run(main)
