"""Residual blocks of the video UNets, of spatial or temporal convolutions."""

from typing import Any

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
    """Two convolutions within each frame around a shortcut, conditioned on an embedding."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        embedding_width: int,
        over_frames: bool = False,
        epsilon: float = 1e-5,
        kernel_init: nnx.Initializer = fan_in_normal,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        """Creates the block.

        Args:
          channels_in: channels of the input.
          channels_out: channels of the result.
          embedding_width: channels of the embedding.
          over_frames: whether normalisations have joint statistics of all frames.
          epsilon: least variance of the normalisations.
          kernel_init: initialiser of the last convolution.
          dtype: type of activations and weights.
          rngs: random-number streams of the initialisers.
        """

        def norm(channels: int) -> GroupNorm:
            return GroupNorm(
                channels, over_frames=over_frames, epsilon=epsilon, dtype=dtype, rngs=rngs
            )

        self.norm1 = norm(channels_in)
        self.conv1 = SpatialConv(channels_in, channels_out, dtype=dtype, rngs=rngs)
        self.embedding = Linear(embedding_width, channels_out, dtype=dtype, rngs=rngs)
        self.norm2 = norm(channels_out)
        self.conv2 = SpatialConv(
            channels_out, channels_out, kernel_init=kernel_init, dtype=dtype, rngs=rngs
        )
        self.shortcut = (
            None
            if channels_in == channels_out
            else Linear(channels_in, channels_out, dtype=dtype, rngs=rngs)
        )

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
        return shortcut + y


class VideoResBlock(ResBlock):
    """A residual block of each frame that starts as its shortcut, then four temporal stages."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        embedding_width: int,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            channels_in,
            channels_out,
            embedding_width=embedding_width,
            kernel_init=zeros,
            dtype=dtype,
            rngs=rngs,
        )
        self.temporal = TemporalConvLayer(channels_out, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        """Transforms features; the arguments are those of `ResBlock`."""
        return self.temporal(super().__call__(x, embedding))


class TemporalResBlock(nnx.Module):
    """Two convolutions over neighbouring frames around a shortcut."""

    def __init__(
        self,
        channels: int,
        *,
        frames: int = 3,
        embedding_width: int | None = None,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        """Creates the block.

        Args:
          channels: channels of input and result.
          frames: odd number of frames that the first convolution sees; the second one sees 3.
          embedding_width: channels of an embedding to condition on; None for no embedding.
          dtype: type of activations and weights.
          rngs: random-number streams of the initialisers.
        """
        options: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        self.norm1 = GroupNorm(channels, over_frames=True, epsilon=1e-6, **options)
        self.conv1 = TemporalConv(channels, frames=frames, **options)
        self.embedding = (
            None if embedding_width is None else Linear(embedding_width, channels, **options)
        )
        self.norm2 = GroupNorm(channels, over_frames=True, epsilon=1e-6, **options)
        self.conv2 = TemporalConv(channels, **options)

    def __call__(self, x: jax.Array, embedding: jax.Array | None = None) -> jax.Array:
        """Transforms features.

        Args:
          x: features `[B, F, H, W, C]`.
          embedding: embedding of each frame `[B, F, E]`, or of all frames `[B, 1, E]`.
        """
        b, f, h, w, c = x.shape
        y = x.reshape(b, f, h * w, c)
        y = self.conv1(nnx.silu(self.norm1(y)))
        if self.embedding is not None and embedding is not None:
            y = y + self.embedding(nnx.silu(embedding))[:, :, None]
        y = self.conv2(nnx.silu(self.norm2(y)))
        return x + y.reshape(x.shape)
