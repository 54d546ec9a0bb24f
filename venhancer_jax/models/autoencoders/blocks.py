"""Blocks that the encoder and both decoders of the VAE share; each frame by itself."""

import jax
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.layers.attention import Implementation, attention
from venhancer_jax.models.layers.chunking import map_chunks
from venhancer_jax.models.layers.convolutions import SpatialConv, upsample_nearest
from venhancer_jax.models.layers.norms import GroupNorm

# A frame of 720p with as many channels as it has near the pixels takes more.
_ELEMENTS_AT_ONCE = 2**27


def spatial_norm(channels: int, *, groups: int, dtype: DTypeLike, rngs: nnx.Rngs) -> GroupNorm:
    """The normalisation of the VAE: statistics of one frame."""
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
            else nnx.Linear(channels_in, channels_out, dtype=dtype, rngs=rngs)
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[B, F, H, W, C]`."""
        # Frames do not see each other here: of large ones only a few need scratch memory at a time.
        at_once = max(1, _ELEMENTS_AT_ONCE // (x.size // x.shape[1]))
        return map_chunks(self._of_frames, [x], at_once, axis=1)

    def _of_frames(self, x: jax.Array) -> jax.Array:
        y = self.conv1(nnx.silu(self.norm1(x)))
        y = self.conv2(nnx.silu(self.norm2(y)))
        return y + (x if self.shortcut is None else self.shortcut(x))


class SpatialAttention(nnx.Module):
    """Attention among the pixels of each frame with one head of all channels."""

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
        self.to_q = nnx.Linear(channels, channels, dtype=dtype, rngs=rngs)
        self.to_k = nnx.Linear(channels, channels, dtype=dtype, rngs=rngs)
        self.to_v = nnx.Linear(channels, channels, dtype=dtype, rngs=rngs)
        self.to_out = nnx.Linear(channels, channels, dtype=dtype, rngs=rngs)
        self.implementation: Implementation = implementation

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[B, F, H, W, C]`."""
        b, f, h, w, c = x.shape
        tokens = self.norm(x).reshape(b, f, h * w, 1, c)  # one head
        q, k, v = self.to_q(tokens), self.to_k(tokens), self.to_v(tokens)
        out = attention(q, k, v, implementation=self.implementation)
        return x + self.to_out(out).reshape(x.shape)


class MidBlock(nnx.Module):
    """The deepest step: two residual blocks, around attention if so asked."""

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
        x = self.resnet1(x)
        return self.resnet2(x if self.attention is None else self.attention(x))


class HalvingConv(nnx.Module):
    """Convolution of stride 2 with zeros below and to the right only: even sizes are halved."""

    def __init__(self, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv = SpatialConv(
            channels, channels, strides=2, padding=((0, 1), (0, 1)), dtype=dtype, rngs=rngs
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.conv(x)


class DoublingConv(nnx.Module):
    """Repeats every pixel twice in both directions, then a convolution."""

    def __init__(self, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv = SpatialConv(channels, channels, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.conv(upsample_nearest(x))


class Level(nnx.Module):
    """Residual blocks of one size, then the way to the next size."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        blocks: int,
        block: type[SpatialResBlock] = SpatialResBlock,
        resample: type[HalvingConv] | type[DoublingConv] | None,
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
        for resnet in self.resnets:
            x = resnet(x)
        return x if self.resample is None else self.resample(x)
