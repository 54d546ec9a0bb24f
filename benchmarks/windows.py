"""Measures the blending of many windows: compilations, and seconds per step, as JSON.

    python -m benchmarks.windows
    python -m benchmarks.windows --frames=400,1600 --height=90 --width=160

Blends windows of latents whose network is the identity, as every denoising step of a long clip
does: the time of the windows themselves is left out. The first step compiles, the others are timed.
"""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from absl import app, flags

from benchmarks.measure import device_facts, report
from venhancer_jax.pipelines.pieces import (
    Box,
    blend,
    faded_spans,
    key_frame_windows,
    whole_span,
)

FRAMES = flags.DEFINE_list("frames", ["400", "1600"], "frames of each clip")
WINDOW = flags.DEFINE_integer("window", 13, "frames of a window")
HEIGHT = flags.DEFINE_integer("height", 16, "rows of the latents")
WIDTH = flags.DEFINE_integer("width", 16, "columns of the latents")
REPEATS = flags.DEFINE_integer("repeats", 5, "timed steps after the first one")
_COMPILED = "/jax/core/compile/backend_compile_duration"


def blended(frames: int) -> dict[str, Any]:
    """Blends the windows of a clip, once to compile and again to time."""
    compilations = 0

    def count(event: str, duration_secs: float, **kwargs: str | int) -> None:
        nonlocal compilations
        del duration_secs, kwargs
        compilations += event == _COMPILED

    windows = key_frame_windows(frames, 1, WINDOW.value)
    rows, columns = whole_span(HEIGHT.value), whole_span(WIDTH.value)
    boxes = [Box(span, rows, columns) for span in faded_spans(windows)]
    x = jax.random.normal(jax.random.key(0), (1, frames, HEIGHT.value, WIDTH.value, 4))
    jax.block_until_ready(x)

    def identity(latents: jax.Array, boxes: Sequence[Box]) -> jax.Array:
        del boxes
        return latents

    def step() -> tuple[float, jax.Array]:
        start = time.perf_counter()
        result = jax.block_until_ready(blend(identity, x, boxes))
        return time.perf_counter() - start, result

    jax.monitoring.register_event_duration_secs_listener(count)
    first, result = step()
    compiled = compilations
    seconds = [step()[0] for _ in range(REPEATS.value)]
    return {
        "frames": frames,
        "windows": len(boxes),
        "compilations": compiled,
        "compilations_later": compilations - compiled,
        "first_seconds": first,
        "median_seconds": statistics.median(seconds),
        # The weights sum to 1, so the identity blends to its input.
        "largest_error": float(jnp.abs(result - x).max()),
    }


def main(argv: list[str]) -> None:
    del argv
    report(
        device_facts() | {"window": WINDOW.value, "clips": [*map(blended, map(int, FRAMES.value))]}
    )


if __name__ == "__main__":
    app.run(main)
