"""How parameters and batches lie on a mesh."""

import math
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from venhancer_jax.sharding.mesh import RULES

# Smaller arrays are kept whole: gathering them would cost more than they take.
LEAST_SHARDED = 2**16

# Examples lie on both axes: `fsdp` is data parallelism that also splits parameters.
BATCH = PartitionSpec(RULES["batch"])


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Examples over `data` and `fsdp`."""
    return NamedSharding(mesh, BATCH)


def all_gathered(tree: Any) -> Any:
    """Asks the compiler for whole arrays, of parameters that `fsdp_sharding` split.

    Without it the compiler is free to split activations as the parameters are, which contradicts
    the split of the batch: it would gather and split activations at every layer. The gradient of a
    gathered parameter is summed and split again. Does nothing unless a mesh of several devices is
    in use (`jax.set_mesh`).
    """
    if jax.sharding.get_abstract_mesh().size <= 1:
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec())


def fsdp_sharding(mesh: Mesh, tree: Any) -> Any:
    """Shardings that split the longest divisible axis of every large array over `fsdp`."""
    size = mesh.shape["fsdp"]

    def of(leaf: Any) -> NamedSharding:
        shape = leaf.shape
        spec: list[str | None] = [None] * len(shape)
        axes = [i for i, length in enumerate(shape) if length % size == 0]
        if size > 1 and axes and math.prod(shape) >= LEAST_SHARDED:
            spec[max(axes, key=lambda i: shape[i])] = "fsdp"
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree.map(of, tree)


def shard_bytes(tree: Any) -> int:
    """Returns the bytes that one device holds of arrays or their shapes.

    Arrays without a sharding count whole.
    """

    def leaf_bytes(leaf: Any) -> int:
        sharding = getattr(leaf, "sharding", None)
        shape = leaf.shape if sharding is None else sharding.shard_shape(leaf.shape)
        return math.prod(shape) * leaf.dtype.itemsize

    return sum(map(leaf_bytes, jax.tree.leaves(tree)))
