"""Time, memory and operations of enhancing a whole clip as JSON, by stage.

    python -m benchmarks.clip
    python -m benchmarks.clip --preset=venhancer --frames=32 --height=180 --width=320

From frames in memory to frames in memory; reading and writing files is left out. The clip is noise
and the weights are random, but for the shipped model, `--preset=demo`, which runs as
`configs/demo.py` says; the others as `configs/venhancer.py` says.
"""

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging

from benchmarks.measure import device_facts, peak_gib, random_params, report, timing
from venhancer_jax.configs import demo, venhancer
from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.config import options_of
from venhancer_jax.pipelines.networks import compute_dtype
from venhancer_jax.pipelines.options import parse_fps
from venhancer_jax.pipelines.venhancer import programs
from venhancer_jax.pipelines.venhancer.decode import decode_stream
from venhancer_jax.pipelines.venhancer.load import demo_venhancer
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import plan_steps, plan_time
from venhancer_jax.pipelines.venhancer.spec import PRESETS
from venhancer_jax.pipelines.venhancer.system import Part, VEnhancer
from venhancer_jax.sharding.flops import count_flops

PRESET = flags.DEFINE_enum("preset", "demo", sorted(PRESETS), "network sizes")
DTYPE = flags.DEFINE_enum("dtype", "auto", ["auto", "float32", "bfloat16"], "of the networks")
FRAMES = flags.DEFINE_integer("frames", 5, "of the input")
HEIGHT = flags.DEFINE_integer("height", 36, "rows of the input")
WIDTH = flags.DEFINE_integer("width", 64, "columns of the input")
SCALE = flags.DEFINE_float("up_scale", 4.0, "enlargement of both sides")
FPS = flags.DEFINE_integer("target_fps", 48, "of the output; the input has 24")
STEPS = flags.DEFINE_integer("steps", None, "of the solver, in place of the config's")
REPEATS = flags.DEFINE_integer("repeats", 1, "timed runs after the first one")
RATE = parse_fps(24)


class Stages:
    """Seconds of each stage of a run, from what its progress is told."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def update(self, stage: str, done: int, total: int | None) -> None:
        del done, total
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now


def system_of(preset: str, dtype: str) -> VEnhancer:
    """The shipped model, or networks of these sizes with random weights."""
    if preset == "demo":
        return demo_venhancer(dtype=dtype)
    parts: dict[str, Part[Any]] = {}
    for name, config in PRESETS[preset].items():
        changes: dict[str, Any] = {} if name == "text" else {"dtype": compute_dtype(dtype)}
        kind = "no_text" if isinstance(config, NullTextConfig) else name
        made: Any = catalog.config_from_dict(kind, catalog.config_to_dict(config), **changes)
        network = catalog.build(kind, made)
        parts[name] = Part(made, network, random_params(network, changes.get("dtype")))
    return VEnhancer(parts["venhancer"], parts["vae"], parts["text"])


def count_clip(
    system: VEnhancer, options: VEnhancerOptions, frames: int, size: tuple[int, int]
) -> int:
    """Operations of all network calls that a clip takes."""
    space, time_plan = system.plan_space(*size, options), plan_time(frames, RATE, options)
    height, width = space.working_size
    vae, unet, text = system.vae, system.denoiser, system.text
    pixels = vae.config.pixels_per_latent
    h, w, c = height // pixels, width // pixels, vae.config.latent_channels

    def array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype)

    def of(program: Any, part: Part[Any], *args: Any) -> int:
        return count_flops(functools.partial(program, part.network), part.params, *args)

    encoded = frames if options.interpolation == "previous" else time_plan.frames
    total = encoded * of(programs.encode, vae, array(1, 1, height, width, 3))
    (start, end), *_ = time_plan.windows
    keys = sum(i >= 0 for i in time_plan.key_index[start:end])
    conditions = {
        "hint": array(1, keys, h, w, c),
        "hint_t": array(1, dtype=jnp.int32),
        "scale": array(1),
        "key_index": array(1, end - start, dtype=jnp.int32),
    }
    branches = 1 if options.guidance_scale == 1 else 2
    tokens = array(branches, 77, dtype=jnp.int32)
    features = jax.eval_shape(text.network, text.params, tokens)
    pair, number = (array(), array()), array(dtype=jnp.int32)
    x = array(1, end - start, h, w, c)
    window = of(programs.denoise, unet, x, number, pair, features, pair, conditions)
    calls = len(plan_steps(system.schedule, options)) * (2 if options.solver == "heun" else 1)
    total += calls * len(time_plan.windows) * window
    of_chunk = functools.cache(lambda shape: of(programs.decode, vae, array(*shape)))
    decoded = []

    def decode(latents: jax.Array) -> jax.Array:
        decoded.append(of_chunk(latents.shape))
        b, f, rows, columns, _ = latents.shape
        return jnp.zeros((b, f, rows * pixels, columns * pixels, 3), jnp.uint8)

    whole = jnp.zeros((1, time_plan.frames, h, w, c))
    for _ in decode_stream(decode, whole, pixels_per_latent=pixels):
        pass
    return total + sum(decoded)


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)
    config = (demo if PRESET.value == "demo" else venhancer).get_config().unlock()
    config.update(up_scale=SCALE.value, target_fps=str(FPS.value))
    if STEPS.value:
        config.update(solver_mode="normal", steps=STEPS.value)
    options = options_of(config, config.prompt)
    system = system_of(PRESET.value, DTYPE.value)
    size = HEIGHT.value, WIDTH.value
    generator = np.random.default_rng(0)
    clip = [generator.integers(0, 256, (*size, 3), np.uint8) for _ in range(FRAMES.value)]
    stages, out = Stages(), []

    def run() -> list[np.ndarray]:
        nonlocal stages
        stages = Stages()
        out[:] = system.enhance(clip, rate=RATE, options=options, progress=stages.update)
        return out

    flops = count_clip(system, options, FRAMES.value, size)
    times = timing(run, repeats=REPEATS.value, flops=flops)
    chosen = {
        "preset": PRESET.value,
        "dtype": compute_dtype(DTYPE.value).name,
        "input_shape": (FRAMES.value, *size, 3),
        "shape": (len(out), *out[0].shape),
        "working_size": system.plan_space(*size, options).working_size,
        "steps": len(plan_steps(system.schedule, options)),
    }
    by_stage = {f"{name}_seconds": value for name, value in stages.seconds.items()}
    rate = {"frames_per_second": len(out) / times["median_seconds"]}
    report(device_facts() | chosen | times | by_stage | rate | {"peak_gib": peak_gib()})


if __name__ == "__main__":
    app.run(main)
