"""Functions of every device's shard of arrays, free of collectives by construction."""

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
    """Applies a function to each device's shard of arrays and returns the sharded result.

    The function must treat entries along a sharded axis independently. A length that the devices do
    not divide is padded with zeros, which are dropped from the result. Without a mesh of several
    devices in use, and inside another such call, the function is called on the whole arrays.

    Args:
      function: function of parameters and arrays. It must not close over traced arrays: in a
        gradient JAX would take them for sharded over the mesh outside.
      arrays: inputs.
      axes: logical axis or None for each dimension of each array.
      out_axes: logical axis or None for each dimension of the result.
      params: tree of arrays that every device has whole.

    Returns:
      `function(params, *arrays)`.
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
    """Pads every sharded axis with zeros at its end, to a length that its devices divide."""
    missing = [-length % num_shards(axis) for axis, length in zip(axes, x.shape, strict=True)]
    return jnp.pad(x, [(0, n) for n in missing]) if any(missing) else x
