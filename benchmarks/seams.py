"""Measures how much the borders of segments show, against all windows joined, as JSON.

    python -m benchmarks.seams --video=VIDEO
    python -m benchmarks.seams --video=VIDEO --preset=tiny

Enhances three clips of a video: its first picture with fresh grain in every frame (static), its
frames (moving), and two parts of it joined (two shots). Each is enhanced with all windows joined at
every step and in segments of some windows. The seam index of a result is the mean change at the
borders of segments over the mean change elsewhere (`metrics/seams.py`); it is divided by that of
the joined result at the same borders. The shipped model takes one step; with another preset the
weights are random, and there are several.
"""

import itertools
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from absl import app, flags, logging

from benchmarks.measure import device_facts, report
from benchmarks.random_system import random_system, unit_gain_params
from venhancer_jax.cli.sample import load_system, parse_sample_config
from venhancer_jax.metrics.seams import seam_index
from venhancer_jax.pipelines.config import options_of
from venhancer_jax.pipelines.segments import TimedFrame
from venhancer_jax.pipelines.stream import enhance_stream
from venhancer_jax.video import read_frames
from venhancer_jax.video.scenes.cuts import mark_cuts

VIDEO = flags.DEFINE_string("video", None, "video whose frames are enhanced", required=True)
PRESET = flags.DEFINE_string("preset", "demo", "preset of the networks")
HEIGHT = flags.DEFINE_integer("height", 48, "rows of the input")
WIDTH = flags.DEFINE_integer("width", 80, "columns of the input")
FRAMES = flags.DEFINE_integer("frames", 40, "frames of each clip")
WINDOW = flags.DEFINE_integer("window", 16, "frames of a window")
STEPS = flags.DEFINE_integer("steps", 4, "steps of networks with random weights")
SEGMENTS = flags.DEFINE_list("segments", ["0", "1", "2"], "windows of a segment; 0 joins all")
OVERLAPS = flags.DEFINE_list("overlaps", [""], "frames that windows share; empty for the default")


def clips() -> dict[str, list[np.ndarray]]:
    """Returns the clips, uint8 `[H, W, 3]` frames each."""
    size = WIDTH.value, HEIGHT.value
    frames = [
        cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        for frame in read_frames(VIDEO.value, max_frames=2 * FRAMES.value)
    ]
    grain = np.random.default_rng(0).normal(0, 3, (FRAMES.value, *frames[0].shape))
    static = np.rint(frames[0] + grain).clip(0, 255).astype(np.uint8)
    half = FRAMES.value // 2
    mirrored = [np.ascontiguousarray(255 - frame[:, ::-1]) for frame in frames[-half:]]
    return {
        "static": list(static),
        "moving": frames[: FRAMES.value],
        "two_shots": frames[:half] + mirrored,
    }


def enhanced(
    system: Any, frames: list[np.ndarray], options: Any
) -> tuple[np.ndarray, list[int], list[int]]:
    """Returns the output `[F, H, W, 3]`, the borders of segments, and the starts of scenes."""
    rate = Fraction(24)
    stream = enhance_stream(
        system,
        [TimedFrame(x, i, i + 1, cut) for i, (x, cut) in enumerate(mark_cuts(frames))],
        rate=rate,
        clock=system.output_clock(rate, None, options),
        options=options,
        progress=lambda stage, done, total: None,
    )
    out: list[np.ndarray] = []
    borders, scenes = [], []
    for streamed in stream:
        segment = streamed.segment
        (scenes if segment.first == segment.scene else borders).append(len(out))
        out += [frame for frame, _ in streamed.frames]
    return np.stack(out), borders, scenes


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Computes the PSNR of two outputs in dB."""
    error = np.mean((first.astype(np.float32) - second) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.ERROR)
    random = PRESET.value != "demo"
    settings = [f"--config.window={WINDOW.value}", "--config.up_scale=2", "--config.fps_scale=1"]
    if random:
        settings += [
            f"--config.preset={PRESET.value}", f"--config.steps={STEPS.value}",
            "--config.noise_levels=900", "--config.start_noise=1",
            "--config.interpolation=previous",
        ]  # fmt: skip
    config, _ = parse_sample_config(["--config=demo", *settings])
    assert config is not None
    system = random_system(config, unit_gain_params) if random else load_system(config)
    results = []
    for name, frames in clips().items():
        joined: np.ndarray | None = None
        for overlap, windows in itertools.product(OVERLAPS.value, map(int, SEGMENTS.value)):
            config, _ = parse_sample_config([
                "--config=demo", *settings, f"--config.segment_windows={windows}",
                *([f"--config.window_overlap={overlap}"] if overlap else []),
            ])  # fmt: skip
            out, borders, scenes = enhanced(system, frames, options_of(config))
            joined = out if joined is None else joined
            row: dict[str, Any] = {
                "clip": name, "segment_windows": windows, "overlap": overlap or "default",
                "borders": borders, "scenes": scenes, "psnr_to_joined": psnr(out, joined),
            }  # fmt: skip
            if borders:
                index = seam_index(out, borders, axis="frames")
                row["seam_index"] = index
                row["seam_to_joined"] = index / seam_index(joined, borders, axis="frames")
            results.append(row)
            print(row, flush=True)
    report(device_facts() | {"preset": PRESET.value, "window": WINDOW.value, "results": results})


if __name__ == "__main__":
    app.run(main)
