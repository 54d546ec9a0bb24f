"""Small layers that the networks share."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

zeros = nnx.initializers.zeros_init()


def sinusoidal_embedding(t: jax.Array, width: int) -> jax.Array:
    """Cosines then sines of `t` at geometric frequencies (VEnhancer paper, equation 8).

    Args:
      t: `[...]`, any number, negative ones too.
      width: of the result; an odd width ends with a zero.

    Returns:
      `[..., width]` float32.
    """
    half = width // 2
    frequency = jnp.exp(-math.log(10000.0) / half * jnp.arange(half, dtype=jnp.float32))
    angle = jnp.asarray(t, jnp.float32)[..., None] * frequency
    table = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)
    return jnp.pad(table, [(0, 0)] * (table.ndim - 1) + [(0, width % 2)])


class MLP(nnx.Module):
    """Linear, SiLU, linear: embeds a sinusoidal code."""

    def __init__(
        self,
        in_width: int,
        width: int,
        *,
        zero_out: bool = False,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        out_init = zeros if zero_out else nnx.initializers.lecun_normal()
        self.linear1 = nnx.Linear(in_width, width, dtype=dtype, rngs=rngs)
        self.linear2 = nnx.Linear(width, width, kernel_init=out_init, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.linear2(nnx.silu(self.linear1(x)))


class GroupNorm(nnx.Module):
    """Group normalisation with float32 statistics, per frame or over all frames at once."""

    def __init__(
        self,
        channels: int,
        *,
        over_frames: bool,
        groups: int = 32,
        epsilon: float,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        del rngs
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))
        self.over_frames = over_frames
        self.groups = groups
        self.epsilon = epsilon
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[B, F, ..., C]` to the same; statistics over `...` and the group, and F if asked."""
        # [B, (F), ..., C]: sums per channel first, a reduction without regrouping the channels.
        axes = tuple(range(1 if self.over_frames else 2, x.ndim - 1))
        x32 = x.astype(jnp.float32)
        mean = self._of_group(x32.mean(axes, keepdims=True))
        # Centred second moment: the difference of two moments would cancel for large means.
        variance = self._of_group(jnp.square(x32 - mean).mean(axes, keepdims=True))
        gain = jax.lax.rsqrt(variance + self.epsilon) * self.scale[...]
        return ((x32 - mean) * gain + self.bias[...]).astype(self.dtype)

    def _of_group(self, per_channel: jax.Array) -> jax.Array:
        """Mean over the channels of a group, back at every channel."""
        grouped = per_channel.reshape(*per_channel.shape[:-1], self.groups, -1)
        mean = jnp.broadcast_to(grouped.mean(-1, keepdims=True), grouped.shape)
        return mean.reshape(per_channel.shape)


def upsample_nearest(x: jax.Array) -> jax.Array:
    """Repeats every pixel twice in both directions: `[..., H, W, C]` to `[..., 2H, 2W, C]`."""
    return x.repeat(2, axis=-3).repeat(2, axis=-2)
