"""Bounds memory: a function on one part of its input after the other."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp


def in_chunks(
    function: Callable[..., jax.Array], arrays: Sequence[jax.Array], at_most: int
) -> jax.Array:
    """A function of arrays `[B, ...]` that treats the B entries each by themselves.

    Args:
      function: gives an array `[B, ...]`.
      arrays: inputs of one B; zeros fill the last chunk up.
      at_most: entries that the function is given at once.

    Returns:
      What `function(*arrays)` gives, with the memory of one chunk, which a gradient computes anew.
    """
    length = len(arrays[0])
    count, size = even_chunks(length, at_most)
    if count == 1:
        return function(*arrays)

    def split(x: jax.Array) -> jax.Array:
        filled = jnp.pad(x, [(0, count * size - length)] + [(0, 0)] * (x.ndim - 1))
        return filled.reshape(count, size, *x.shape[1:])

    of_chunk = jax.checkpoint(lambda chunk: function(*chunk))
    out = jax.lax.map(of_chunk, tuple(split(x) for x in arrays))
    return out.reshape(-1, *out.shape[2:])[:length]


def even_chunks(length: int, at_most: int) -> tuple[int, int]:
    """Number and size of the fewest chunks of at most so many, as even as they can be."""
    count = math.ceil(length / min(length, max(1, at_most)))
    return count, math.ceil(length / count)
