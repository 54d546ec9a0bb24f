"""Embeddings of time steps, noise levels and scales."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.layers.initializers import fan_in_normal, zeros
from venhancer_jax.models.layers.linear import Linear


def sinusoidal_embedding(t: jax.Array, width: int) -> jax.Array:
    """Computes cosines, then sines of `t` at geometric frequencies (VEnhancer paper, equation 8).

    Args:
      t: numbers `[...]`, negative ones too.
      width: channels of the result; with an odd number the last one is zero.

    Returns:
      `[..., width]` float32.
    """
    half = width // 2
    frequency = jnp.exp(-math.log(10000.0) / half * jnp.arange(half, dtype=jnp.float32))
    angle = jnp.asarray(t, jnp.float32)[..., None] * frequency
    table = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)
    return jnp.pad(table, [(0, 0)] * (table.ndim - 1) + [(0, width % 2)])


class MLP(nnx.Module):
    """Two dense layers with SiLU between them, for sinusoidal embeddings."""

    def __init__(
        self,
        in_width: int,
        width: int,
        *,
        zero_out: bool = False,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        out_init = zeros if zero_out else fan_in_normal
        self.linear1 = Linear(in_width, width, dtype=dtype, rngs=rngs)
        self.linear2 = Linear(width, width, kernel_init=out_init, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms `[..., D]`."""
        return self.linear2(nnx.silu(self.linear1(x)))
