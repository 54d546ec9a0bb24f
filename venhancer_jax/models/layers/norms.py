"""Group normalisation with float32 statistics."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike


class GroupNorm(nnx.Module):
    """Group normalisation with float32 statistics, per frame or over all frames of a video."""

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
        """Normalises `[B, F, ..., C]` over `...` and each group, and over F with `over_frames`."""
        x = x.astype(jnp.float32)
        return self.normalise(x, *self.statistics(x))

    def statistics(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Computes the mean of every group, and the gain of every channel.

        Args:
          x: features `[B, F, ..., C]`.

        Returns:
          Mean and gain `[B, F, ..., C]` float32, where normalised axes have length 1.
        """
        # [B, (F), ..., C]: sums per channel first, a reduction without regrouping the channels.
        axes = tuple(range(1 if self.over_frames else 2, x.ndim - 1))
        x32 = x.astype(jnp.float32)
        mean = self._group_mean(x32.mean(axes, keepdims=True))
        # Centred second moment: the difference of two moments would cancel for large means.
        variance = self._group_mean(jnp.square(x32 - mean).mean(axes, keepdims=True))
        return mean, jax.lax.rsqrt(variance + self.epsilon) * self.scale[...]

    def normalise(self, x: jax.Array, mean: jax.Array, gain: jax.Array) -> jax.Array:
        """Normalises features with statistics that may come from more frames.

        Args:
          x: features `[B, f, ..., C]`.
          mean: mean of `statistics`, of one frame or of as many as `x` has.
          gain: gain of `statistics`, shaped like `mean`.
        """
        return ((x.astype(jnp.float32) - mean) * gain + self.bias[...]).astype(self.dtype)

    def _group_mean(self, per_channel: jax.Array) -> jax.Array:
        """Computes the mean over the channels of each group, repeated for every channel."""
        grouped = per_channel.reshape(*per_channel.shape[:-1], self.groups, -1)
        mean = jnp.broadcast_to(grouped.mean(-1, keepdims=True), grouped.shape)
        return mean.reshape(per_channel.shape)
