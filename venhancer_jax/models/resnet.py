"""Residual blocks of the video UNet: convolutions within frames, then across them."""

import jax
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.layers import GroupNorm, upsample_nearest, zeros
from venhancer_jax.sharding.local import fill_up

_FRAMES = ("batch", "frame", None, None, None)


class ConvOfFrames(nnx.Conv):
    """A convolution of each frame by itself."""

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[B, F, H, W, C]`."""
        # Frames that the devices do not divide could not be joined with the batch, as a convolution
        # has them, without all devices getting all of them.
        return super().__call__(fill_up(x, _FRAMES))[: x.shape[0], : x.shape[1]]


def conv3x3(
    channels_in: int, channels_out: int, *, dtype: DTypeLike, rngs: nnx.Rngs, **options
) -> ConvOfFrames:
    """A 3x3 convolution of each frame, one zero pixel around it."""
    return ConvOfFrames(
        channels_in, channels_out, (3, 3), padding=1, dtype=dtype, rngs=rngs, **options
    )


class TemporalConv(nnx.Module):
    """Normalise, SiLU, convolve three neighbouring frames at every pixel."""

    def __init__(self, channels: int, *, zero_out: bool = False, dtype: DTypeLike, rngs: nnx.Rngs):
        self.norm = GroupNorm(channels, over_frames=True, epsilon=1e-5, dtype=dtype, rngs=rngs)
        # A 2-D convolution over [F, H*W] takes half the memory and time of the 3-D form.
        self.conv = nnx.Conv(
            channels,
            channels,
            (3, 1),
            padding=((1, 1), (0, 0)),
            kernel_init=zeros if zero_out else nnx.initializers.lecun_normal(),
            dtype=dtype,
            rngs=rngs,
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[B, F, P, C]`, P the pixels of a frame; zeros before the first and after the last."""
        return self.conv(nnx.silu(self.norm(x)))


class TemporalConvStack(nnx.Module):
    """Four temporal convolutions around a shortcut; the last one starts at zero."""

    def __init__(self, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.stage1 = TemporalConv(channels, dtype=dtype, rngs=rngs)
        self.stage2 = TemporalConv(channels, dtype=dtype, rngs=rngs)
        self.stage3 = TemporalConv(channels, dtype=dtype, rngs=rngs)
        self.stage4 = TemporalConv(channels, zero_out=True, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[B, F, H, W, C]`."""
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
        self.conv1 = conv3x3(channels_in, channels_out, dtype=dtype, rngs=rngs)
        self.embedding = nnx.Linear(embedding_width, channels_out, dtype=dtype, rngs=rngs)
        self.norm2 = norm(channels_out)
        self.conv2 = conv3x3(channels_out, channels_out, kernel_init=zeros, dtype=dtype, rngs=rngs)
        self.shortcut = (
            None
            if channels_in == channels_out
            else nnx.Linear(channels_in, channels_out, dtype=dtype, rngs=rngs)
        )
        self.temporal = TemporalConvStack(channels_out, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        """`x [B, F, H, W, C]`; `embedding [B, F, E]`, or `[B, 1, E]` for all frames alike."""
        y = self.conv1(nnx.silu(self.norm1(x)))
        y = y + self.embedding(nnx.silu(embedding))[:, :, None, None]
        y = self.conv2(nnx.silu(self.norm2(y)))
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return self.temporal(shortcut + y)


class Downsample(nnx.Module):
    """Convolution of stride 2 that pads two rows and one column: `(h, w)` to `(h/2 + 1, w/2)`."""

    def __init__(self, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv = ConvOfFrames(
            channels,
            channels,
            (3, 3),
            strides=2,
            padding=((2, 2), (1, 1)),
            dtype=dtype,
            rngs=rngs,
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.conv(x)


class Upsample(nnx.Module):
    """Nearest x2 without the first and the last row, then a convolution: the way back up."""

    def __init__(self, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv = conv3x3(channels, channels, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[B, F, h, w, C]` to `[B, F, 2h - 2, 2w, C]`."""
        return self.conv(jax.lax.slice_in_dim(upsample_nearest(x), 1, -1, axis=-3))
