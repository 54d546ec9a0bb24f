"""Correlations of all pairs of pixels of two feature maps, and their lookup around positions.

A correlation is linear in the features of the second map, so its pyramid is that of their averages.
Bilinear samples around a position are products with hat functions along rows and columns: matrix
products, which read zeros outside and need no gather, whatever the size of a level.
"""

import jax
import jax.numpy as jnp

from venhancer_jax.models.layers.chunking import map_chunks
from venhancer_jax.models.layers.linear import matmul_precision


def feature_pyramid(features: jax.Array, levels: int) -> list[jax.Array]:
    """Averages features over squares of 1, 2, 4, ... pixels; an axis of one pixel stays.

    Args:
      features: features `[B, h, w, C]`.
      levels: number of levels.

    Returns:
      Features `[B, h // 2**i, w // 2**i, C]` of each level i.
    """
    pyramid = [features]
    for _ in range(levels - 1):
        x = pyramid[-1]
        window = (1, min(2, x.shape[1]), min(2, x.shape[2]), 1)
        sums = jax.lax.reduce_window(
            x, jnp.zeros((), x.dtype), jax.lax.add, window, window, "valid"
        )
        pyramid.append(sums / (window[1] * window[2]))
    return pyramid


def correlate(queries: jax.Array, pyramid: list[jax.Array]) -> list[jax.Array]:
    """Computes scaled products of features.

    Args:
      queries: features `[B, Q, C]` of pixels of the first map.
      pyramid: result of `feature_pyramid` for the second map.

    Returns:
      float32 correlations `[B, Q, h, w]` of each level.
    """
    scale, precision = queries.shape[-1] ** -0.5, matmul_precision(queries.dtype)
    options = {"precision": precision, "preferred_element_type": jnp.float32}
    return [scale * jnp.einsum("bqc,bhwc->bqhw", queries, x, **options) for x in pyramid]


def look_up(correlations: list[jax.Array], positions: jax.Array, radius: int) -> jax.Array:
    """Samples correlations at whole offsets from a position of each query.

    Args:
      correlations: result of `correlate`.
      positions: positions `[B, Q, 2]` in the first level, column then row.
      radius: largest offset, in pixels of each level.

    Returns:
      float32 `[B, Q, levels * (2 radius + 1)**2]`: level by level, the offset along columns is the
      slow index, that along rows the fast one.
    """
    samples = []
    for level, x in enumerate(correlations):
        at = positions / 2**level
        columns = _hats(at[..., 0], x.shape[3], radius)
        rows = _hats(at[..., 1], x.shape[2], radius)
        found = jnp.einsum("bqih,bqhw->bqiw", rows, x, precision="highest")
        found = jnp.einsum("bqjw,bqiw->bqji", columns, found, precision="highest")
        samples.append(found.reshape(*found.shape[:2], -1))
    return jnp.concatenate(samples, axis=-1)


def correlate_and_look_up(
    queries: jax.Array, pyramid: list[jax.Array], positions: jax.Array, radius: int, chunk_size: int
) -> jax.Array:
    """Samples correlations that are computed for some queries at a time and not stored.

    Args:
      queries: features `[B, Q, C]` of pixels of the first map.
      pyramid: result of `feature_pyramid` for the second map.
      positions: positions `[B, Q, 2]` in the first level, column then row.
      radius: largest offset, in pixels of each level.
      chunk_size: most queries per chunk.

    Returns:
      float32 `[B, Q, levels * (2 radius + 1)**2]`, the result of `look_up`.
    """

    def of_chunk(queries: jax.Array, positions: jax.Array) -> jax.Array:
        return look_up(correlate(queries, pyramid), positions, radius)

    return map_chunks(of_chunk, [queries, positions], chunk_size, axis=1)


def _hats(positions: jax.Array, length: int, radius: int) -> jax.Array:
    """Computes weights `[B, Q, 2 radius + 1, length]` of bilinear samples around positions."""
    offsets = jnp.arange(-radius, radius + 1, dtype=positions.dtype)
    distances = positions[..., None, None] + offsets[:, None] - jnp.arange(length)
    return jnp.maximum(0, 1 - jnp.abs(distances))
