"""Measures what an output pixel costs, from small frames to 4K, as JSON.

    python -m benchmarks.cost_per_pixel
    python -m benchmarks.cost_per_pixel --config=upscale_a_video --preset=tiny --sizes=256x384

Every size enhances a few frames of noise, a quarter of it each way, without files: once to compile,
then timed. `relative` is seconds per pixel over those of the first size; `cpu_relative` is that of
the processor's seconds, which other programs on the machine disturb less.
"""

import time
from typing import Any

import numpy as np
from absl import app, flags, logging

from benchmarks.clip import RATE, Stages, enhancement, random_system
from benchmarks.measure import device_facts, peak_gib, report
from venhancer_jax.cli.sample import load_system
from venhancer_jax.pipelines.config import options_of
from venhancer_jax.pipelines.system import System

SIZES = flags.DEFINE_list(
    "sizes",
    ["256x384", "512x768", "720x1280", "1080x1920", "2160x3840"],
    "height and width of each output",
)
ONCE_ABOVE = flags.DEFINE_integer(
    "once_above", 2**22, "pixels of a frame above which the first run is timed, compilation too"
)


def cost(system: System, options: Any, height: int, width: int, frames: int) -> dict[str, Any]:
    """Enhances noise to frames of a size, and times the last run."""
    draw = np.random.default_rng(0).integers
    clip = [draw(0, 256, (height // 4, width // 4, 3), np.uint8) for _ in range(frames)]
    stages, seconds, busy, count = Stages(), 0.0, 0.0, 0
    for _ in range(1 if height * width > ONCE_ABOVE.value else 2):
        stages, start, count = Stages(), time.perf_counter(), 0
        busy_before = time.process_time()
        for _ in system.enhance(clip, rate=RATE, options=options, progress=stages.update):
            count += 1
        seconds, busy = time.perf_counter() - start, time.process_time() - busy_before
    return {
        "size": (height, width),
        "frames": count,
        "frame_seconds": seconds / count,
        "cpu_seconds": busy / count,
        "microseconds_per_pixel": 1e6 * seconds / count / (height * width),
        "cpu_microseconds_per_pixel": 1e6 * busy / count / (height * width),
    } | {f"{name}_seconds": value / count for name, value in stages.seconds.items()}


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)
    config = enhancement()
    system = load_system(config) if config.preset == "demo" else random_system(config)
    options = options_of(config)
    frames = flags.FLAGS.frames
    sizes = []
    for size in SIZES.value:
        height, width = map(int, size.split("x"))
        found = cost(system, options, height, width, frames)
        first = sizes[0] if sizes else found
        ratio, busy_ratio = (
            found[f"{kind}microseconds_per_pixel"] / first[f"{kind}microseconds_per_pixel"]
            for kind in ("", "cpu_")
        )
        sizes.append(found | {"relative": ratio, "cpu_relative": busy_ratio})
        logging.warning(
            "%s: %.2f s a frame, x%.2f; x%.2f in seconds of the processor",
            size,
            found["frame_seconds"],
            ratio,
            busy_ratio,
        )
    report(device_facts() | {"preset": config.preset, "sizes": sizes, "peak_gib": peak_gib()})


if __name__ == "__main__":
    app.run(main)
