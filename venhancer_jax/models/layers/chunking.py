"""Bounds memory: a function on one part of its input after the other."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp


def map_chunks(
    function: Callable[..., jax.Array], arrays: Sequence[jax.Array], at_most: int, *, axis: int = 0
) -> jax.Array:
    """A function of arrays that treats the entries along an axis each by themselves.

    Args:
      function: gives an array with the same entries along the same axis.
      arrays: inputs, of one length along the axis; zeros fill the last chunk up.
      at_most: entries that the function is given at once.
      axis: of inputs and result.

    Returns:
      What `function(*arrays)` gives, with the memory of one chunk, which a gradient computes anew.
    """
    length = arrays[0].shape[axis]
    count, size = split_evenly(length, at_most)
    if count == 1:
        return function(*arrays)

    def split(x: jax.Array) -> jax.Array:
        fill = [(0, 0)] * x.ndim
        fill[axis] = (0, count * size - length)
        shape = (*x.shape[:axis], count, size, *x.shape[axis + 1 :])
        return jnp.moveaxis(jnp.pad(x, fill).reshape(shape), axis, 0)

    of_chunk = jax.checkpoint(lambda chunk: function(*chunk))
    out = jnp.moveaxis(jax.lax.map(of_chunk, tuple(split(x) for x in arrays)), 0, axis)
    joined = out.reshape(*out.shape[:axis], -1, *out.shape[axis + 2 :])
    return jax.lax.slice_in_dim(joined, 0, length, axis=axis)


def split_evenly(length: int, at_most: int) -> tuple[int, int]:
    """Number and size of the fewest chunks of at most so many, as even as they can be."""
    count = math.ceil(length / min(length, max(1, at_most)))
    return count, math.ceil(length / count)
