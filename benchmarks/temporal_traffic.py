"""What attention among frames reads and writes, as the compiler has it and at least.

    python -m benchmarks.temporal_traffic --plan=v5e-8 --height=90 --width=160 --frames=32

Compiles the attention of the temporal transformers (without their projections) for chips that need
not be there, for the part of the pixels that one of them has, at every level of the published UNet.
A kernel of our own could save at most the difference. Height and width are those of the latents.
"""

import json
import math

import jax
import jax.numpy as jnp
from absl import app, flags

from venhancer_jax.models.attention import attention
from venhancer_jax.models.unet3d import UNet3DConfig
from venhancer_jax.planning.topology import compile_on_processor, find_topology

PLAN = flags.DEFINE_string("plan", "v5e-8", "chips to compile for")
HEIGHT = flags.DEFINE_integer("height", 90, "rows of the latents")
WIDTH = flags.DEFINE_integer("width", 160, "columns of the latents")
FRAMES = flags.DEFINE_integer("frames", 32, "frames of the window")

# Transformers of each level in UNet and ControlNet: the first convolution, two encoders, a decoder;
# the deepest one is that of the middle blocks. Each attends twice.
BLOCKS = (9, 7, 7, 2)


def main(argv: list[str]) -> None:
    del argv
    compile_on_processor()
    topology = find_topology(PLAN.value)
    mesh = jax.sharding.Mesh([topology.devices[0]], ("alone",))
    place = jax.NamedSharding(mesh, jax.P())
    config = UNet3DConfig.venhancer(dtype=jnp.bfloat16)
    split = max(1, len(topology.devices) // 2)  # the guidance pair takes a half each
    height, width, levels = HEIGHT.value, WIDTH.value, []
    for channels, blocks in zip(config.channels, BLOCKS, strict=True):
        pixels = math.ceil(height * width / split)
        shape = (1, pixels, FRAMES.value, channels // config.head_dim, config.head_dim)
        array = jax.ShapeDtypeStruct(shape, config.dtype, sharding=place)

        def attend(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
            # As they come and go: all frames of a pixel lie apart.
            by_pixel = (x.swapaxes(1, 2) for x in (q, k, v))
            return attention(*by_pixel).swapaxes(1, 2)

        by_frame = jax.ShapeDtypeStruct(
            (1, FRAMES.value, pixels, *shape[3:]), config.dtype, sharding=place
        )
        compiled = jax.jit(attend).trace(by_frame, by_frame, by_frame).lower().compile()
        least = 4 * math.prod(array.shape) * 2
        moved = (compiled.cost_analysis() or {})["bytes accessed"]
        levels.append(
            {
                "pixels": pixels,
                "channels": channels,
                "attentions": 2 * blocks,
                "gigabytes": moved / 1e9,
                "least_gigabytes": least / 1e9,
                "seconds_to_save": 2 * blocks * (moved - least) / topology.chip.memory_bandwidth,
            }
        )
        height, width = height // 2 + 1, width // 2
    saved = sum(level["seconds_to_save"] for level in levels)
    print(json.dumps({"chips": PLAN.value, "levels": levels, "seconds_to_save": saved}, indent=1))


if __name__ == "__main__":
    app.run(main)
