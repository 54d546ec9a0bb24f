"""Sharding of parameters and batches over a mesh."""

import math
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from venhancer_jax.sharding.mesh import RULES

# Smaller arrays are replicated: gathering them would cost more than it saves.
LEAST_SHARDED = 2**16

# Examples are sharded over both axes: `fsdp` is data parallelism that also shards parameters.
BATCH = PartitionSpec(RULES["batch"])


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of examples over `data` and `fsdp`."""
    return NamedSharding(mesh, BATCH)


def all_gathered(tree: Any) -> Any:
    """Gathers parameters that `fsdp_sharding` shards, on every device.

    Otherwise the compiler could shard activations like the parameters, against the sharding of the
    batch, and would gather and scatter activations at every layer. The gradient of a gathered
    parameter is reduced and scattered again. Does nothing unless a mesh of several devices is in
    use (`jax.set_mesh`).

    Args:
      tree: tree of arrays.
    """
    if jax.sharding.get_abstract_mesh().size <= 1:
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec())


def fsdp_sharding(mesh: Mesh, tree: Any) -> Any:
    """Computes shardings that split the longest divisible axis of large arrays over `fsdp`.

    Args:
      mesh: devices.
      tree: tree of arrays or their shapes; those with fewer than `LEAST_SHARDED` entries are
        replicated.
    """
    size = mesh.shape["fsdp"]

    def sharding(leaf: Any) -> NamedSharding:
        shape = leaf.shape
        spec: list[str | None] = [None] * len(shape)
        axes = [i for i, length in enumerate(shape) if length % size == 0]
        if size > 1 and axes and math.prod(shape) >= LEAST_SHARDED:
            spec[max(axes, key=lambda i: shape[i])] = "fsdp"
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree.map(sharding, tree)


def shard_bytes(tree: Any) -> int:
    """Returns the bytes that one device holds of arrays or their shapes.

    Arrays without a sharding count whole.
    """

    def leaf_bytes(leaf: Any) -> int:
        sharding = getattr(leaf, "sharding", None)
        shape = leaf.shape if sharding is None else sharding.shard_shape(leaf.shape)
        return math.prod(shape) * leaf.dtype.itemsize

    return sum(map(leaf_bytes, jax.tree.leaves(tree)))
