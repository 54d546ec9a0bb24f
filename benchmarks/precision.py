"""PSNR of an enhancement in fewer bits against float32, as JSON.

    python -m benchmarks.precision --system=upscale_a_video
    python -m benchmarks.precision --system=venhancer --dtype=float16

Small networks with weights that are drawn anew from their names, on the first frames of the clip
of the package: the same run twice, with weights and activations of either type. `contrast` is the
standard deviation of the float32 frames, from 0 to 255; the PSNR of frames without any would say
nothing.
"""

import dataclasses
from typing import Any

import numpy as np
from absl import app, flags, logging

from benchmarks.measure import device_facts, peak_gib, report
from benchmarks.random_system import random_system, unit_gain_params
from venhancer_jax.assets import demo_clip
from venhancer_jax.metrics.psnr import decibels, mean_squared_error
from venhancer_jax.pipelines.config import enhancement_config, options_of
from venhancer_jax.pipelines.registry import DEFAULT_SYSTEM, SYSTEMS
from venhancer_jax.video import probe, read_frames

SYSTEM = flags.DEFINE_enum("system", DEFAULT_SYSTEM, sorted(SYSTEMS), "whose networks")
PRESET = flags.DEFINE_string("preset", "tiny", "sizes of the networks")
DTYPE = flags.DEFINE_enum("dtype", "bfloat16", ["bfloat16", "float16"], "compared with float32")
FRAMES = flags.DEFINE_integer("frames", 3, "frames of the input")
HEIGHT = flags.DEFINE_integer("height", 36, "rows of the input, cut from its middle")
WIDTH = flags.DEFINE_integer("width", 64, "columns of the input, cut from its middle")
STEPS = flags.DEFINE_integer("steps", 4, "steps of the solver")


def enhanced(frames: list[np.ndarray], dtype: str) -> np.ndarray:
    """Enhances frames in numbers of a type, and returns those of the output `[F, H, W, 3]`."""
    config = enhancement_config(SYSTEM.value)
    config.update(preset=PRESET.value, dtype=dtype)
    options = options_of(config, "a flock of birds")
    changes: dict[str, Any] = {"steps": STEPS.value}
    if hasattr(options, "solver_mode"):
        changes["solver_mode"] = "normal"  # the number of steps of the other mode is fixed
    system = random_system(config, unit_gain_params)
    rate = probe(demo_clip()).rate
    chosen = dataclasses.replace(options, **changes)
    return np.stack([*system.enhance(frames, rate=rate, options=chosen)])


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)
    height, width = HEIGHT.value, WIDTH.value
    frames = []
    for frame in read_frames(probe(demo_clip()), max_frames=FRAMES.value):
        top, left = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
        frames.append(frame[top : top + height, left : left + width])
    exact, rounded = enhanced(frames, "float32"), enhanced(frames, DTYPE.value)
    errors = mean_squared_error(rounded, exact)
    facts = {
        "system": SYSTEM.value,
        "preset": PRESET.value,
        "dtype": DTYPE.value,
        "steps": STEPS.value,
        "input_shape": (len(frames), *frames[0].shape),
        "shape": exact.shape,
        "contrast": float(exact.std()),
        "psnr": float(decibels(errors.mean())),
        "psnr_of_frames": [float(x) for x in decibels(errors)],
        "largest_difference": int(np.abs(exact.astype(int) - rounded).max()),
    }
    report(device_facts() | facts | {"peak_gib": peak_gib()})


if __name__ == "__main__":
    app.run(main)
