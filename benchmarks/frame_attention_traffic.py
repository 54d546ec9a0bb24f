"""Counts the memory traffic of temporal attention: by XLA, by the kernel, and at least, as JSON.

    python -m benchmarks.frame_attention_traffic --plan=v5e-8 --height=90 --width=160 --frames=32

Compiles the attention of the temporal transformers (without projections) for chips that need not be
present, for one chip's share of the pixels, at every level of the published UNet. Height and width
are those of the latents. Seconds are the traffic of one denoising step over the bandwidth of the
memory: nothing is timed.
"""

import functools
import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from venhancer_jax.models.kernels.temporal_attention import attend_by_pixel, temporal_attention
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.planning.topology import compile_on_processor, find_topology

PLAN = flags.DEFINE_string("plan", "v5e-8", "chips to compile for")
HEIGHT = flags.DEFINE_integer("height", 90, "rows of the latents")
WIDTH = flags.DEFINE_integer("width", 160, "columns of the latents")
FRAMES = flags.DEFINE_integer("frames", 32, "frames of the window")

# Temporal transformers of each level: behind the first convolution and in the blocks of both
# encoders and the decoder, then in the middle blocks. Each attends twice.
TRANSFORMERS = (9, 7, 7, 2)


def main(argv: list[str]) -> None:
    del argv
    compile_on_processor()
    topology = find_topology(PLAN.value)
    mesh = Mesh(np.array(topology.devices[:1]), ("alone",))
    config = UNet3DConfig.venhancer(dtype=jnp.bfloat16)
    split = max(1, len(topology.devices) // 2)  # half of the chips for each of the guidance pair
    height, width, levels = HEIGHT.value, WIDTH.value, []
    for channels, transformers in zip(config.channels, TRANSFORMERS, strict=True):
        pixels = math.ceil(height * width / split)
        array = jax.ShapeDtypeStruct(
            (1, FRAMES.value, pixels, channels),
            config.dtype,
            sharding=NamedSharding(mesh, PartitionSpec()),
        )

        def moved(function: Any, array: jax.ShapeDtypeStruct = array) -> float:
            attend = jax.jit(functools.partial(function, head_dim=config.head_dim))
            with jax.set_mesh(mesh):
                compiled = attend.lower(array, array, array).compile()
            return (compiled.cost_analysis() or {}).get("bytes accessed", 0) / 1e9

        least = 4 * math.prod(array.shape) * 2 / 1e9
        level = {
            "pixels": pixels,
            "channels": channels,
            "attentions": 2 * transformers,
            "least_gigabytes": least,
            "xla_gigabytes": moved(lambda q, k, v, head_dim: attend_by_pixel(q, k, v, head_dim)),
            # The count leaves out kernels; this one reads its inputs and writes its result once.
            "kernel_gigabytes": least
            + moved(lambda q, k, v, head_dim: temporal_attention(q, k, v, head_dim)),
        }
        levels.append(level)
        height, width = height // 2 + 1, width // 2
    seconds = {
        name: sum(level["attentions"] * level[f"{name}_gigabytes"] * 1e9 for level in levels)
        / topology.chip.memory_bandwidth
        for name in ("least", "xla", "kernel")
    }
    print(json.dumps({"chips": PLAN.value, "levels": levels, "seconds": seconds}, indent=1))


if __name__ == "__main__":
    app.run(main)
