"""Convolutions of the frames of a video, and resampling by two."""

import jax
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.sharding.shard_map import pad_to_shards

_FRAMES = ("batch", "frame", None, None, None)


class SpatialConv(nnx.Conv):
    """A convolution of each frame by itself."""

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[B, F, H, W, C]`."""
        # Frames that the devices do not divide could not be joined with the batch, as a convolution
        # has them, without all devices getting all of them.
        return super().__call__(pad_to_shards(x, _FRAMES))[: x.shape[0], : x.shape[1]]


def conv3x3(
    channels_in: int, channels_out: int, *, dtype: DTypeLike, rngs: nnx.Rngs, **options
) -> SpatialConv:
    """A 3x3 convolution of each frame, one zero pixel around it."""
    return SpatialConv(
        channels_in, channels_out, (3, 3), padding=1, dtype=dtype, rngs=rngs, **options
    )


class Downsample(nnx.Module):
    """Convolution of stride 2 that pads two rows and one column: `(h, w)` to `(h/2 + 1, w/2)`."""

    def __init__(self, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv = SpatialConv(
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


def upsample_nearest(x: jax.Array) -> jax.Array:
    """Repeats every pixel twice in both directions: `[..., H, W, C]` to `[..., 2H, 2W, C]`."""
    return x.repeat(2, axis=-3).repeat(2, axis=-2)
