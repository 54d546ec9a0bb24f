"""Time, memory and operations of one network call (UNet and ControlNet) as JSON.

`peak_gflops` is the best matrix product of size 3072 in the same run, `peak_share` the share of it
that the step reaches.

    python -m benchmarks.denoise_step --frames=5 --height=34 --width=32
    python -m benchmarks.denoise_step --preset=venhancer --guidance --profile=FOLDER

Height and width are those of the latents: an eighth of the pixels. A profile is for TensorBoard or
https://ui.perfetto.dev.
"""

import contextlib
import functools
import time

import jax
from absl import app, flags

from benchmarks.denoiser import denoise_call
from benchmarks.measure import (
    device_facts,
    matmul_peak,
    peak_gib,
    release_freed_memory,
    report,
    timing,
)
from venhancer_jax.models.functional import count_parameters
from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.venhancer.spec import PRESETS
from venhancer_jax.sharding.flops import count_flops

PRESET = flags.DEFINE_enum("preset", "venhancer", sorted(PRESETS), "network size")
REPEATS = flags.DEFINE_integer("repeats", 3, "timed calls after the first one")
PROFILE = flags.DEFINE_string("profile", None, "folder for a trace of one more call")


def main(argv: list[str]) -> None:
    del argv
    call = denoise_call(PRESET.value)
    static = call.network, call.plan
    # Before the parameters, so that the memory of the compiler does not add to theirs.
    start = time.perf_counter()
    lowered = programs.denoise.lower(*static, call.shapes, *call.inputs)
    trace_seconds = time.perf_counter() - start
    step = lowered.compile()
    compile_seconds = time.perf_counter() - start - trace_seconds
    # After the measured trace, which would otherwise find parts of the network traced.
    flops = count_flops(functools.partial(programs.denoise, *static), call.shapes, *call.inputs)
    release_freed_memory()
    params = call.params()
    release_freed_memory()
    peak = matmul_peak(call.facts["dtype"])
    times = timing(lambda: step(params, *call.inputs), repeats=REPEATS.value, flops=flops)
    peak = max(peak, matmul_peak(call.facts["dtype"]))
    gflops = flops / times["median_seconds"] / 1e9
    with jax.profiler.trace(PROFILE.value) if PROFILE.value else contextlib.nullcontext():
        if PROFILE.value:
            jax.block_until_ready(step(params, *call.inputs))
    report(
        device_facts()
        | call.facts
        | {"parameters": count_parameters(call.shapes)}
        | {"trace_seconds": trace_seconds, "compile_seconds": compile_seconds}
        | times
        | {"gflops": gflops, "peak_gflops": peak / 1e9, "peak_share": gflops / peak * 1e9}
        | {"peak_gib": peak_gib()}
    )


if __name__ == "__main__":
    app.run(main)
