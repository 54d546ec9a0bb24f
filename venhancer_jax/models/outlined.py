"""Lets the compiler work once on layers that are alike."""

from functools import partial
from typing import Any

import jax
from flax import nnx
from jax.experimental.xla_metadata import set_xla_metadata

from venhancer_jax.sharding.mesh import target_device


def outlined(layer: nnx.Module, *inputs: Any) -> Any:
    """What `layer(*inputs)` gives.

    In a program for TPU the layer becomes a function of its own, which the compiler does not copy
    into its caller. Layers that differ in their parameters only are the same function to it.
    """
    platform, _ = target_device()
    if platform != "tpu":
        return layer(*inputs)
    graph, state = nnx.split(layer)
    return set_xla_metadata(_call(graph, state, *inputs), inlineable="false")


@partial(jax.jit, static_argnums=0)
def _call(graph: nnx.GraphDef, state: nnx.State, *inputs: Any) -> Any:
    return nnx.merge(graph, state)(*inputs)
