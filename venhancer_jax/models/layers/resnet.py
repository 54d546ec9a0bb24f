"""Residual blocks of the video UNet: spatial, then temporal convolutions."""

import jax
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.layers.convolutions import SpatialConv, TemporalConv
from venhancer_jax.models.layers.initializers import fan_in_normal, zeros
from venhancer_jax.models.layers.linear import Linear
from venhancer_jax.models.layers.norms import GroupNorm


class TemporalConvStage(nnx.Module):
    """Normalisation, SiLU and a temporal convolution."""

    def __init__(self, channels: int, *, zero_out: bool = False, dtype: DTypeLike, rngs: nnx.Rngs):
        self.norm = GroupNorm(channels, over_frames=True, epsilon=1e-5, dtype=dtype, rngs=rngs)
        kernel_init = zeros if zero_out else fan_in_normal
        self.conv = TemporalConv(channels, kernel_init=kernel_init, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms `[B, F, P, C]`, P the pixels of a frame."""
        return self.conv(nnx.silu(self.norm(x)))


class TemporalConvLayer(nnx.Module):
    """Four temporal convolutions around a shortcut; the last one starts at zero."""

    def __init__(self, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.stage1 = TemporalConvStage(channels, dtype=dtype, rngs=rngs)
        self.stage2 = TemporalConvStage(channels, dtype=dtype, rngs=rngs)
        self.stage3 = TemporalConvStage(channels, dtype=dtype, rngs=rngs)
        self.stage4 = TemporalConvStage(channels, zero_out=True, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms `[B, F, H, W, C]`."""
        b, f, h, w, c = x.shape
        y = x.reshape(b, f, h * w, c)
        for stage in (self.stage1, self.stage2, self.stage3, self.stage4):
            y = stage(y)
        return x + y.reshape(x.shape)


class ResBlock(nnx.Module):
    """A residual block of each frame, conditioned on an embedding, then the temporal stack."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        embedding_width: int,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        def norm(channels: int) -> GroupNorm:
            return GroupNorm(channels, over_frames=False, epsilon=1e-5, dtype=dtype, rngs=rngs)

        self.norm1 = norm(channels_in)
        self.conv1 = SpatialConv(channels_in, channels_out, dtype=dtype, rngs=rngs)
        self.embedding = Linear(embedding_width, channels_out, dtype=dtype, rngs=rngs)
        self.norm2 = norm(channels_out)
        self.conv2 = SpatialConv(
            channels_out, channels_out, kernel_init=zeros, dtype=dtype, rngs=rngs
        )
        self.shortcut = (
            None
            if channels_in == channels_out
            else Linear(channels_in, channels_out, dtype=dtype, rngs=rngs)
        )
        self.temporal = TemporalConvLayer(channels_out, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        """Transforms features, conditioned on an embedding.

        Args:
          x: features `[B, F, H, W, C]`.
          embedding: embedding of each frame `[B, F, E]`, or of all frames `[B, 1, E]`.
        """
        y = self.conv1(nnx.silu(self.norm1(x)))
        y = y + self.embedding(nnx.silu(embedding))[:, :, None, None]
        y = self.conv2(nnx.silu(self.norm2(y)))
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return self.temporal(shortcut + y)
