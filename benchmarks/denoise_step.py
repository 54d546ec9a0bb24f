"""Time, memory and operations of one network call (UNet and ControlNet) as JSON.

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
from benchmarks.measure import device_facts, peak_gib, report, timing
from venhancer_jax.models.functional import count_parameters
from venhancer_jax.pipelines.venhancer import programs
from venhancer_jax.pipelines.venhancer.spec import PRESETS
from venhancer_jax.sharding.flops import count_flops

PRESET = flags.DEFINE_enum("preset", "venhancer", sorted(PRESETS), "network size")
REPEATS = flags.DEFINE_integer("repeats", 3, "timed calls after the first one")
PROFILE = flags.DEFINE_string("profile", None, "folder for a trace of one more call")


def main(argv: list[str]) -> None:
    del argv
    (network, *inputs), chosen = denoise_call(PRESET.value)
    start = time.perf_counter()
    lowered = programs.denoise.lower(network, *inputs)
    trace_seconds = time.perf_counter() - start
    step = lowered.compile()
    compile_seconds = time.perf_counter() - start - trace_seconds
    # Afterwards: it traces the network too, and what was traced before is traced faster.
    flops = count_flops(functools.partial(programs.denoise, network), *inputs)
    times = timing(lambda: step(*inputs), repeats=REPEATS.value, flops=flops)
    with jax.profiler.trace(PROFILE.value) if PROFILE.value else contextlib.nullcontext():
        if PROFILE.value:
            jax.block_until_ready(step(*inputs))
    report(
        device_facts()
        | chosen
        | {"parameters": count_parameters(inputs[0])}
        | {"trace_seconds": trace_seconds, "compile_seconds": compile_seconds}
        | times
        | {"peak_gib": peak_gib()}
    )


if __name__ == "__main__":
    app.run(main)
