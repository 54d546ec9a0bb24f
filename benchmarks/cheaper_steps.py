"""Measures what each way to cheaper denoising steps saves and loses, as a table and as JSON.

    python -m benchmarks.cheaper_steps --clips=FOLDER --json=FILE

The shipped model was trained for one step; here it takes several, which it does less well: the
rows `one step` and `full` show how near each is to the target. Its time steps are between 20 and 0
of 1,000, where neighbours differ less than in a model that starts from noise: expect larger losses
there. All other rows are `full` with one change, and compared with `full`.

The target is the first 9 frames of each video (or 5 or 7), shrunk and cropped to 128x192; the input
is every second one of them, averaged down to a quarter of the sides.

The model knows no text, so the difference that guidance amplifies is zero: the options of guidance
lose nothing here by construction, and only their time means something.

`work` is counted, not measured: multiply-adds as a share of those of `full`. `work_published` is
the share in the published network at 16 frames of 720x1280 in 15 steps.
"""

import dataclasses
import functools
import json
import statistics
import time
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging

from venhancer_jax.assets import demo_clip
from venhancer_jax.configs import demo
from venhancer_jax.data.resample import resample, shrink_to_cover, to_uint8
from venhancer_jax.diffusion.schedule import cosine_interpolated_schedule
from venhancer_jax.metrics.lpips import lpips
from venhancer_jax.metrics.psnr import decibels, mean_squared_error
from venhancer_jax.metrics.vmaf import vmaf
from venhancer_jax.models.functional import Params
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines import catalog, programs
from venhancer_jax.pipelines.config import options_of
from venhancer_jax.pipelines.step_cache import StepCache, StepPlan, plan_steps_reuse
from venhancer_jax.pipelines.venhancer.load import demo_venhancer
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import plan_steps
from venhancer_jax.pipelines.venhancer.system import VEnhancer
from venhancer_jax.sharding.flops import count_flops
from venhancer_jax.video import list_videos, probe, read_frames

HEIGHT, WIDTH, FRAMES, SCALE = 128, 192, 9, 4
LEAST_FRAMES = 5
RATE = Fraction(24)
# Shapes of the latents: of the clips here, and of 16 frames of 720x1280.
SHAPES = {"demo": (1, FRAMES, HEIGHT // 4, WIDTH // 4, 16), "venhancer": (1, 16, 90, 160, 4)}

CLIPS = flags.DEFINE_string("clips", None, "folder of videos, by default the clip of the package")
STEPS = flags.DEFINE_integer("steps", 12, "steps of the full run")
REPEATS = flags.DEFINE_integer("repeats", 5, "timed runs of each row, alternating with full")
JSON = flags.DEFINE_string("json", None, "file to write")

# Changes of the options. "first half" stands for the time steps of the first half of the calls.
ROWS: dict[str, dict[str, Any]] = {
    "full": {},
    "guidance_interval: first half": {"guidance_interval": "first half"},
    "guidance_reuse=2": {"guidance_reuse": 2},
    "guidance_reuse=4": {"guidance_reuse": 4},
    "controlnet_reuse=2": {"controlnet_reuse": 2},
    "controlnet_reuse=4": {"controlnet_reuse": 4},
    "deep_reuse=2": {"deep_reuse": 2},
    "deep_reuse=4": {"deep_reuse": 4},
    "all three at 2": {"guidance_reuse": 2, "controlnet_reuse": 2, "deep_reuse": 2},
    "weights=int8": {"weights": "int8"},
}


def target_of(path: Path) -> np.ndarray | None:
    """Reads frames `[F, H, W, 3]` of a video, at most 9 of 128x192; None with fewer than 5."""
    frames = [*read_frames(probe(path), max_frames=FRAMES)]
    odd = len(frames) - 1 + len(frames) % 2
    if odd < LEAST_FRAMES:
        return None
    covering = shrink_to_cover(np.stack(frames[:odd]), HEIGHT, WIDTH)[:, :HEIGHT, :WIDTH]
    height, width = (side - side % SCALE for side in covering.shape[1:3])
    return covering[:, :height, :width]


def low_of(target: np.ndarray) -> np.ndarray:
    """Returns every second frame, a quarter as high and wide."""
    size = target.shape[1] // SCALE, target.shape[2] // SCALE
    return to_uint8(resample(target[::2].astype(np.float32), size, "area"))


def shipped_options(steps: int | None = None, **changes: Any) -> VEnhancerOptions:
    """Returns the options of `configs/demo.py` in several steps, with the changes of a row."""
    config = demo.get_config().unlock()
    config.update(up_scale=float(SCALE), target_fps=str(RATE), steps=steps or STEPS.value)
    config.guidance_scale = 7.5  # the pair runs, as it does where there is text
    return changed(options_of(config, config.prompt), changes)


def changed(options: VEnhancerOptions, changes: dict[str, Any]) -> VEnhancerOptions:
    """Returns options with the changes of a row."""
    changes = {name: value for name, value in changes.items() if name != "weights"}
    if changes.get("guidance_interval") == "first half":
        times = plan_steps(cosine_interpolated_schedule(), options).calls
        changes["guidance_interval"] = (times[len(times) // 2 - 1], times[0])
    return dataclasses.replace(options, **changes)


@functools.cache
def demo_system(weights: str) -> VEnhancer:
    return demo_venhancer(weights=weights)


def denoised(
    low: np.ndarray, options: VEnhancerOptions, weights: str = "full"
) -> tuple[float, np.ndarray]:
    """Enhances a clip; returns the seconds of all denoising steps, and the frames."""
    marks = {}

    def progress(stage: str, done: int, total: int | None) -> None:
        del done, total
        marks[stage] = time.perf_counter()

    system = demo_system(weights)
    latents, plan = system.denoise_clip(
        iter(low),
        rate=RATE / 2,
        options=options,
        progress=progress,
    )
    pieces = [
        programs.to_bytes(piece, truncate=False)
        for piece in system.decode_frames(latents, plan.space, options)
    ]
    return marks["denoise"] - marks["encode"], np.concatenate(pieces)


def quality(frames: np.ndarray, target: np.ndarray) -> dict[str, float | None]:
    """Computes PSNR (None for equal frames) and LPIPS of a clip."""
    error = float(np.mean(mean_squared_error(frames, target)))
    return {
        "psnr": float(decibels(error)) if error else None,
        "lpips": float(np.mean(lpips(frames, target))),
    }


def speed_of(
    low: np.ndarray, full: tuple[VEnhancerOptions, str], row: tuple[VEnhancerOptions, str]
) -> dict[str, float]:
    """Measures seconds of a step, and the speed-up over a step of `full` right before: medians."""
    pairs = [(denoised(low, *full)[0], denoised(low, *row)[0]) for _ in range(REPEATS.value)]
    return {
        "seconds_per_step": statistics.median(own for _, own in pairs) / STEPS.value,
        "speed_up": statistics.median(whole / own for whole, own in pairs),
    }


def work_of(changes: dict[str, Any], options: VEnhancerOptions, network: str) -> float:
    """Counts multiply-adds of all steps with the changes, as a share of those without."""
    options = changed(options, changes)
    times = plan_steps(cosine_interpolated_schedule(), options).calls
    plans = plan_steps_reuse(times, options, guided=True)
    whole = flops_of(StepPlan(), network)
    return sum(flops_of(plan, network) for plan in plans) / (len(plans) * whole)


@functools.cache
def flops_of(plan: StepPlan, preset: str) -> int:
    """Counts the operations of one call of the network of a preset, `demo` or `venhancer`."""
    config = getattr(UNet3DConfig, preset)()
    network = catalog.build("venhancer", config)
    shape = SHAPES[preset]

    def call(
        plan: StepPlan, params: Params, x: jax.Array, text: Any, cache: StepCache
    ) -> tuple[jax.Array, StepCache]:
        one, number = jnp.ones(1, int), jnp.float32(1)
        pair = number, number
        frames = jnp.arange(shape[1])[None]
        conditions = {"hint": x, "hint_t": one, "scale": one, "key_index": frames}
        return programs.denoise(
            network, plan, params, x, np.int32(500), pair, text, pair, conditions, cache
        )

    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    features = jax.ShapeDtypeStruct((2, 77, config.context_width), jnp.float32)
    text = jax.eval_shape(partial(programs.compute_text_kv, network), network.shapes, features)
    everything = StepPlan(difference="store", control="store", deep_features="store")
    _, cache = jax.eval_shape(partial(call, everything), network.shapes, x, text, StepCache())
    return count_flops(partial(call, plan), network.shapes, x, text, cache)


def table(results: dict[str, dict[str, float | None]]) -> str:
    """Formats results as a table, with a dash where there is no number."""
    columns = list(dict.fromkeys(key for row in results.values() for key in row))
    lines = [["", *columns]]
    for name, row in results.items():
        numbers = (row.get(column) for column in columns)
        lines.append([name, *("-" if x is None else f"{x:.3g}" for x in numbers)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)
    paths = list_videos(Path(CLIPS.value)) if CLIPS.value else [demo_clip()]
    rows = {
        name: (shipped_options(**changes), weights_of(changes)) for name, changes in ROWS.items()
    }
    per_clip: dict[str, list[dict[str, float | None]]] = {}
    low = None
    for path in paths:
        if (target := target_of(path)) is None:
            print(f"{path.name}: fewer than {LEAST_FRAMES} frames, skipped", flush=True)
            continue
        low = low_of(target)
        enhanced = {name: denoised(low, *row)[1] for name, row in rows.items()}
        enhanced["one step"] = denoised(low, shipped_options(steps=1), "full")[1]
        for name, frames in enhanced.items():
            scores = quality(frames, enhanced["full"]) if name in ROWS else {}
            scores |= {f"{key}_of_target": x for key, x in quality(frames, target).items()}
            if name in ("one step", "full"):
                scores["vmaf_of_target"] = vmaf(frames, target)
            per_clip.setdefault(name, []).append(scores)
    if low is None:
        raise SystemExit(f"no clip of {LEAST_FRAMES} frames in {CLIPS.value}")
    results: dict[str, dict[str, float | None]] = {}
    for name, clips in per_clip.items():
        results[name] = {key: mean(clips, key) for key in clips[0]}
        if name in ROWS:
            changes = ROWS[name]
            results[name] |= speed_of(low, rows["full"], rows[name])
            results[name]["work"] = work_of(changes, shipped_options(), "demo")
            results[name]["work_published"] = work_of(changes, VEnhancerOptions(), "venhancer")
    facts = {
        "device": jax.devices()[0].device_kind,
        "clips": len(per_clip["full"]),
        "steps": STEPS.value,
        "rows": results,
    }
    print(table(results), json.dumps(facts, indent=1), sep="\n\n")
    if JSON.value:
        Path(JSON.value).write_text(json.dumps(facts, indent=1))


def mean(clips: list[dict[str, float | None]], key: str) -> float | None:
    """Returns the mean over all clips; None where one of them has no value."""
    values = [scores[key] for scores in clips]
    return None if None in values else float(np.mean(np.array(values, float)))


def weights_of(changes: dict[str, Any]) -> str:
    return changes.get("weights", "full")


if __name__ == "__main__":
    app.run(main)
