"""Spatial blocks that the encoder and both decoders of the VAE share."""

from collections.abc import Callable

import jax
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.layers.attention import Implementation, attention
from venhancer_jax.models.layers.chunking import map_chunks
from venhancer_jax.models.layers.convolutions import SpatialConv
from venhancer_jax.models.layers.linear import Linear
from venhancer_jax.models.layers.norms import GroupNorm

# Fewer than a 720p frame has with the channels of the first level.
_CHUNK_ELEMENTS = 2**27


def map_frames(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """Applies a function of independent frames to a few large frames at a time.

    Args:
      function: computes `[B, f, H', W', C']` from `[B, f, H, W, C]`, frame by frame.
      x: frames `[B, F, H, W, C]`.

    Returns:
      `[B, F, H', W', C']`, with the scratch memory of one chunk of frames.
    """
    return map_chunks(function, [x], _CHUNK_ELEMENTS // (x.size // x.shape[1]), axis=1)


def spatial_norm(channels: int, *, groups: int, dtype: DTypeLike, rngs: nnx.Rngs) -> GroupNorm:
    """Creates the normalisation of the VAE, with statistics of one frame."""
    return GroupNorm(
        channels, over_frames=False, groups=groups, epsilon=1e-6, dtype=dtype, rngs=rngs
    )


class SpatialResBlock(nnx.Module):
    """Two convolutions of each frame around a shortcut."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        groups: int,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.norm1 = spatial_norm(channels_in, groups=groups, dtype=dtype, rngs=rngs)
        self.conv1 = SpatialConv(channels_in, channels_out, dtype=dtype, rngs=rngs)
        self.norm2 = spatial_norm(channels_out, groups=groups, dtype=dtype, rngs=rngs)
        self.conv2 = SpatialConv(channels_out, channels_out, dtype=dtype, rngs=rngs)
        self.shortcut = (
            None
            if channels_in == channels_out
            else Linear(channels_in, channels_out, dtype=dtype, rngs=rngs)
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms `[B, F, H, W, C]`."""
        return map_frames(self._convolve, x)

    def _convolve(self, x: jax.Array) -> jax.Array:
        y = self.conv1(nnx.silu(self.norm1(x)))
        y = self.conv2(nnx.silu(self.norm2(y)))
        return y + (x if self.shortcut is None else self.shortcut(x))


class SpatialAttention(nnx.Module):
    """Attention over the pixels of each frame with one head of all channels."""

    def __init__(
        self,
        channels: int,
        *,
        groups: int,
        implementation: Implementation,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.norm = spatial_norm(channels, groups=groups, dtype=dtype, rngs=rngs)
        self.to_q = Linear(channels, channels, dtype=dtype, rngs=rngs)
        self.to_k = Linear(channels, channels, dtype=dtype, rngs=rngs)
        self.to_v = Linear(channels, channels, dtype=dtype, rngs=rngs)
        self.to_out = Linear(channels, channels, dtype=dtype, rngs=rngs)
        self.implementation: Implementation = implementation

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms `[B, F, H, W, C]`."""
        b, f, h, w, c = x.shape
        tokens = self.norm(x).reshape(b, f, h * w, 1, c)  # one head
        q, k, v = self.to_q(tokens), self.to_k(tokens), self.to_v(tokens)
        out = attention(q, k, v, implementation=self.implementation)
        return x + self.to_out(out).reshape(x.shape)


class MidBlock(nnx.Module):
    """The deepest level: two residual blocks around an optional attention."""

    def __init__(
        self,
        channels: int,
        *,
        block: type[SpatialResBlock] = SpatialResBlock,
        attends: bool = True,
        groups: int,
        implementation: Implementation,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.resnet1 = block(channels, channels, groups=groups, dtype=dtype, rngs=rngs)
        self.attention = (
            SpatialAttention(
                channels, groups=groups, implementation=implementation, dtype=dtype, rngs=rngs
            )
            if attends
            else None
        )
        self.resnet2 = block(channels, channels, groups=groups, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms `[B, F, H, W, C]`."""
        x = self.resnet1(x)
        return self.resnet2(x if self.attention is None else self.attention(x))


class Level(nnx.Module):
    """Residual blocks of one size, then a layer that resamples to the next size."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        blocks: int,
        block: type[SpatialResBlock] = SpatialResBlock,
        resample: Callable[..., nnx.Module] | None,
        groups: int,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.resnets = nnx.List(
            block(
                channels_out if i else channels_in,
                channels_out,
                groups=groups,
                dtype=dtype,
                rngs=rngs,
            )
            for i in range(blocks)
        )
        self.resample = resample and resample(channels_out, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms and resamples `[B, F, H, W, C]`."""
        for resnet in self.resnets:
            x = resnet(x)
        return x if self.resample is None else self.resample(x)
