"""Seconds until a run is under way, by phase, as JSON.

    python -m benchmarks.startup                        the demo, with no programs kept and again
    python -m benchmarks.startup --preset=venhancer     one denoising step

The demo is what `python sample.py` does, in processes of its own with a folder of their own for
compiled programs: `cold` finds it empty, `warm` finds what `cold` left there. Programs are traced,
lowered to XLA's language, and compiled or loaded from JAX's cache; what is left of the enhancement
is `run`. The step is that of `benchmarks.denoise_step`, which has the flags for its shape.
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

PRESET = flags.DEFINE_string("preset", "demo", "demo: the whole run; else the network of a step")
MAX_FRAMES = flags.DEFINE_integer("max_frames", None, "of the clip of the demo, by default all")
_ROOT = Path(__file__).parents[1]
_PHASES = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile",
    "/jax/compilation_cache/cache_retrieval_time_sec": "load",
}


class Phases:
    """Seconds of what JAX tells of, each moment counted once: functions are traced in functions."""

    def __init__(self):
        self._spans: list[tuple[str, float, float]] = []

    def heard(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        del kwargs
        if event in _PHASES:
            end = time.perf_counter()
            start = end - duration_secs
            self._spans = [span for span in self._spans if span[1] < start]
            self._spans.append((_PHASES[event], start, end))

    def seconds(self) -> dict[str, float]:
        spans = self._spans
        return {
            name: sum(end - start for kind, start, end in spans if kind == name)
            for name in _PHASES.values()
        }


def demo_run(arguments: list[str]) -> dict[str, float]:
    """What `sample.py` does with these arguments, timed; to be called in a fresh process."""
    started = time.perf_counter()
    import sample
    from venhancer_jax.pipelines import run
    from venhancer_jax.pipelines.venhancer import load

    del load
    import jax

    marks = {"import": time.perf_counter()}
    phases = Phases()
    jax.monitoring.register_event_duration_secs_listener(phases.heard)
    config, _ = sample.parse_config(None, arguments, "configs/demo.py")
    assert config is not None
    jobs, _ = run.check(config)
    sample.use_compilation_cache()
    marks["check"] = time.perf_counter()
    system = sample._system(config)
    marks["weights"] = time.perf_counter()
    before = phases.seconds()
    run.run(config, system, jobs)
    ended = time.perf_counter()
    spent = {name: seconds - before[name] for name, seconds in phases.seconds().items()}
    last = marks["weights"]
    seconds, since = {}, started
    for name, mark in marks.items():
        seconds[name], since = mark - since, mark
    return seconds | spent | {"run": ended - last - sum(spent.values())}


def demo() -> dict[str, Any]:
    """A cold and a warm run of the demo."""
    found = {}
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
            found[name] = whole | {f"{phase}_seconds": s for phase, s in phases.items()}
    return found


def step() -> dict[str, Any]:
    """Times one denoising step: trace and lower, compile or load from JAX's cache, and run."""
    import jax

    from benchmarks.denoiser import denoise_call
    from venhancer_jax.pipelines.venhancer import programs

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
    found = {"preset": "demo"} | demo() if PRESET.value == "demo" else step()
    from benchmarks.measure import device_facts, peak_gib, report

    report(device_facts() | found | {"peak_gib": peak_gib()})


if __name__ == "__main__":
    # The flags of the shape and of the report are there for it to know.
    import benchmarks.denoiser  # noqa: F401

    app.run(main)
