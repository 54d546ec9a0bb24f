"""Time, memory and operations of one network call (UNet and ControlNet) as JSON.

    python -m benchmarks.denoise_step --frames=5 --height=34 --width=32

Height and width are those of the latents: an eighth of the pixels.
"""

import json
import resource
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from venhancer_jax.models.controlnet import ControlledUNet
from venhancer_jax.models.functional import Network, Params, count_parameters, functional
from venhancer_jax.models.unet3d import UNet3DConfig
from venhancer_jax.sharding.flops import count_flops

FRAMES = flags.DEFINE_integer("frames", 5, "frames of the window")
HEIGHT = flags.DEFINE_integer("height", 34, "rows of the latents, 2 modulo 8")
WIDTH = flags.DEFINE_integer("width", 32, "columns of the latents, 0 modulo 8")
PRESET = flags.DEFINE_enum("preset", "venhancer", ["venhancer", "tiny"], "network size")
DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "weights and activations")
REPEATS = flags.DEFINE_integer("repeats", 3, "timed calls after the first one")


def random_params(network: Network, dtype: jnp.dtype) -> Params:
    """Weights of ordinary size, made one by one."""
    generator = np.random.default_rng(0)
    params = {}
    for name, spec in network.shapes.items():
        draw = generator.standard_normal(spec.shape, dtype=np.float32) * np.float32(0.02)
        params[name] = jnp.asarray(draw, dtype)
    return params


def main(argv: list[str]) -> None:
    del argv
    dtype = jnp.dtype(DTYPE.value)
    config = getattr(UNet3DConfig, PRESET.value)(dtype=dtype)
    network = functional(lambda rngs: ControlledUNet(config, rngs))
    params = random_params(network, dtype)
    shape = (1, FRAMES.value, HEIGHT.value, WIDTH.value, config.latent_channels)
    x = jax.random.normal(jax.random.key(0), shape)
    one = jnp.ones(1, int)
    inputs = (x, one, jnp.ones((1, 77, config.context_width)))
    conditions = {
        "hint": x[:, ::2],
        "hint_t": one,
        "scale": one,
        "key_index": jnp.where(jnp.arange(FRAMES.value) % 2, -1, jnp.arange(FRAMES.value) // 2)[
            None
        ],
    }

    start = time.perf_counter()
    step = jax.jit(network.__call__).lower(params, *inputs, **conditions).compile()
    compile_seconds = time.perf_counter() - start
    seconds = []
    for _ in range(REPEATS.value + 1):
        start = time.perf_counter()
        step(params, *inputs, **conditions).block_until_ready()
        seconds.append(time.perf_counter() - start)
    flops = count_flops(network, params, *inputs, **conditions)
    median = statistics.median(seconds[1:])
    facts = {
        "device": jax.devices()[0].device_kind,
        "shape": shape,
        "dtype": dtype.name,
        "parameters": count_parameters(params),
        "compile_seconds": compile_seconds,
        "first_seconds": seconds[0],
        "median_seconds": median,
        "tflop": flops / 1e12,
        "tflop_per_second": flops / 1e12 / median,
        "peak_gib": _peak_bytes() / 2**30,
    }
    print(json.dumps(facts, indent=2))


def _peak_bytes() -> int:
    """Peak memory of the device, or of the process where the device is the host."""
    stats = jax.devices()[0].memory_stats()
    if stats:
        return stats["peak_bytes_in_use"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    app.run(main)
