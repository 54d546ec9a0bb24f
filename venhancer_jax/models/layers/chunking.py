"""Functions over one chunk of their input after the other, with the memory of one chunk."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp


def map_chunks(
    function: Callable[..., jax.Array],
    arrays: Sequence[jax.Array],
    chunk_size: int,
    *,
    axis: int = 0,
) -> jax.Array:
    """Applies a function to chunks of arrays along an axis, one chunk after the other.

    Unlike `jax.lax.map` with `batch_size`, all chunks have one length, for any axis, and a gradient
    recomputes the intermediate results of each chunk.

    Args:
      function: treats the entries along `axis` independently; its result has one for each entry.
      arrays: inputs, of one length along `axis`; the last chunk is padded with zeros.
      chunk_size: most entries per chunk; less than 1 means 1.
      axis: axis of inputs and result that is cut into chunks.

    Returns:
      `function(*arrays)`.
    """
    length = arrays[0].shape[axis]
    count, size = split_evenly(length, chunk_size)
    if count == 1:
        return function(*arrays)

    def split(x: jax.Array) -> jax.Array:
        padding = [(0, 0)] * x.ndim
        padding[axis] = (0, count * size - length)
        shape = (*x.shape[:axis], count, size, *x.shape[axis + 1 :])
        return jnp.moveaxis(jnp.pad(x, padding).reshape(shape), axis, 0)

    checkpointed = jax.checkpoint(lambda chunk: function(*chunk))

    def store(results: jax.Array, item: tuple) -> tuple[jax.Array, None]:
        index, chunk = item
        result = checkpointed(chunk)
        return jax.lax.dynamic_update_index_in_dim(results, result, index, 0), None

    chunks = tuple(split(x) for x in arrays)
    result = jax.eval_shape(checkpointed, tuple(x[0] for x in chunks))
    # Unlike the zeros that `jax.lax.map` starts with, a value of the input keeps the compiler from
    # holding the results of all loops of a program from its start.
    anything = jax.lax.stop_gradient(arrays[0][(0,) * arrays[0].ndim])
    results = jnp.full((count, *result.shape), anything, result.dtype)
    results, _ = jax.lax.scan(store, results, (jnp.arange(count), chunks))
    out = jnp.moveaxis(results, 0, axis)
    joined = out.reshape(*out.shape[:axis], -1, *out.shape[axis + 2 :])
    return jax.lax.slice_in_dim(joined, 0, length, axis=axis)


def split_evenly(length: int, chunk_size: int) -> tuple[int, int]:
    """Computes number and size of equal chunks that cover a length.

    The fewest ones without padding, if these are less than twice as many as the fewest with it.

    Args:
      length: number of entries.
      chunk_size: most entries per chunk; less than 1 means 1.

    Returns:
      `(number, size)` of the chunks, whose product is `length` or a little more.
    """
    fewest = math.ceil(length / min(length, max(1, chunk_size)))
    count = next((n for n in range(fewest, 2 * fewest) if length % n == 0), fewest)
    return count, math.ceil(length / count)
