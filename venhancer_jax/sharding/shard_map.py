"""Runs a function on every device's own part of arrays: no collective by construction."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from venhancer_jax.sharding.mesh import constrain, is_sharded, num_shards, partition_spec

Axes = Sequence[str | None]


def shard_map_over(
    function: Callable[..., jax.Array],
    arrays: Sequence[jax.Array],
    axes: Sequence[Axes],
    out_axes: Axes,
    *,
    params: Any,
) -> jax.Array:
    """The function of whole arrays, which each device computes a part of.

    Only right for functions that treat the entries of a split axis each by themselves. A length
    that the devices do not divide is filled up with zeros, which are cut off again. Without a mesh
    of several devices in use, and inside of another such call, it is just the function.

    Args:
      function: of the parameters and the arrays. It must not use other traced arrays: in a gradient
        JAX would take them for parts of the mesh outside.
      arrays: inputs.
      axes: of each array, a logical axis or None for each dimension.
      out_axes: of the result.
      params: a tree of arrays that every device has whole.

    Returns:
      What `function(params, *arrays)` gives.
    """
    if not is_sharded():
        return function(params, *arrays)
    lengths = {
        axis: length
        for array, names in zip(arrays, axes, strict=True)
        for axis, length in zip(names, array.shape, strict=True)
        if axis
    }
    padded = [
        constrain(pad_to_shards(x, names), names) for x, names in zip(arrays, axes, strict=True)
    ]
    out = jax.shard_map(
        function,
        in_specs=(PartitionSpec(), *(partition_spec(names) for names in axes)),
        out_specs=partition_spec(out_axes),
        check_vma=False,  # kernels do not tell how their results vary
    )(params, *padded)
    for i, axis in enumerate(out_axes):
        if axis and lengths[axis] % num_shards(axis):
            out = jax.lax.slice_in_dim(out, 0, lengths[axis], axis=i)
    return out


def pad_to_shards(x: jax.Array, axes: Axes) -> jax.Array:
    """Zeros at the end of every split axis, to a length that its devices divide."""
    missing = [-length % num_shards(axis) for axis, length in zip(axes, x.shape, strict=True)]
    return jnp.pad(x, [(0, n) for n in missing]) if any(missing) else x
