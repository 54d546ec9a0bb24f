"""Searches the block sizes of the splash kernel for the accelerator of this machine, as JSON.

    python -m benchmarks.attention_blocks --tokens=14400 --heads=5 --groups=8

The best ones belong into `BLOCKS` of `venhancer_jax/models/kernels/splash.py`. On a CPU the kernel
is interpreted, and times say nothing: `--tokens=256 --longest=256` shows that the search runs.
"""

import functools
import itertools
import json

import jax
import jax.numpy as jnp
from absl import app, flags

from benchmarks.measure import timing
from venhancer_jax.models.kernels.splash import splash_attention

TOKENS = flags.DEFINE_integer("tokens", 14400, "queries and keys: 14400 is a frame of 720p")
HEADS = flags.DEFINE_integer("heads", 5, "attention heads")
GROUPS = flags.DEFINE_integer("groups", 8, "frames of one device")
HEAD_DIM = flags.DEFINE_integer("head_dim", 64, "channels of each head")
LONGEST = flags.DEFINE_integer("longest", 4096, "largest block to try")
REPEATS = flags.DEFINE_integer("repeats", 3, "timed calls of each choice")


def main(argv: list[str]) -> None:
    del argv
    shape = (GROUPS.value, TOKENS.value, HEADS.value, HEAD_DIM.value)
    query, key, value = jax.random.normal(jax.random.key(0), (3, *shape), jnp.bfloat16)
    sizes = [size for size in (256, 512, 1024, 2048, 3072, 4096) if size <= LONGEST.value]
    tried = []
    for q, kv, compute in itertools.product(sizes, repeat=3):
        if compute > kv:
            continue
        attend = jax.jit(functools.partial(splash_attention, blocks=(q, kv, compute)))
        try:
            seconds = timing(lambda f=attend: f(query, key, value), repeats=REPEATS.value)
        except jax.errors.JaxRuntimeError:  # more than the memory of a core
            continue
        tried.append({"blocks": (q, kv, compute), "seconds": seconds["median_seconds"]})
    tried.sort(key=lambda choice: choice["seconds"])
    print(json.dumps({"device": jax.devices()[0].device_kind, "shape": shape, "tried": tried}))


if __name__ == "__main__":
    app.run(main)
