"""Measures time, memory and operations of the VAE, encoding a frame and decoding a chunk, as JSON.

    python -m benchmarks.vae --height=144 --width=256
    python -m benchmarks.vae --preset=venhancer --dtype=bfloat16 --height=720 --width=1280

Frames are encoded one by one, in float32, and decoded in chunks, as an enhancement does.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from absl import app, flags

from benchmarks.measure import device_facts, peak_gib, random_params, report, timing
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.pipelines import catalog, programs
from venhancer_jax.pipelines.registry import SYSTEMS, find_system
from venhancer_jax.pipelines.venhancer.decode import CHUNK_FRAMES
from venhancer_jax.sharding.flops import count_flops

SYSTEM = flags.DEFINE_enum("system", "venhancer", SYSTEMS, "system whose presets are used")
PRESET = flags.DEFINE_string("preset", "demo", "network size")
DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "type of the decoder")
FRAMES = flags.DEFINE_integer("frames", CHUNK_FRAMES, "frames of the decoded chunk")
HEIGHT = flags.DEFINE_integer("height", 144, "rows of pixels")
WIDTH = flags.DEFINE_integer("width", 256, "columns of pixels")
REPEATS = flags.DEFINE_integer("repeats", 3, "timed calls after the first one")


def main(argv: list[str]) -> None:
    del argv
    config = find_system(SYSTEM.value).presets[PRESET.value]["vae"]
    assert isinstance(config, VAEConfig)
    config = dataclasses.replace(config, dtype=jnp.dtype(DTYPE.value))
    network = catalog.build("vae", config)
    params = random_params(network)
    pixels = config.pixels_per_latent
    frames = jax.random.uniform(jax.random.key(0), (1, 1, HEIGHT.value, WIDTH.value, 3))
    size = HEIGHT.value // pixels, WIDTH.value // pixels
    latents = jax.random.normal(jax.random.key(1), (1, FRAMES.value, *size, config.latent_channels))
    times = {}
    for name, inputs in (("encode", frames), ("decode", latents)):
        call = functools.partial(getattr(programs, name), network)
        flops = count_flops(call, params, inputs)
        run = functools.partial(call, params, inputs)
        times[name] = {"shape": inputs.shape} | timing(run, repeats=REPEATS.value, flops=flops)
    chosen = {"preset": PRESET.value, "dtype": DTYPE.value}
    report(device_facts() | chosen | times | {"peak_gib": peak_gib()})


if __name__ == "__main__":
    app.run(main)
