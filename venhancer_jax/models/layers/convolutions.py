"""Spatial and temporal convolutions of a video, and resampling by two."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.layers.initializers import fan_in_normal
from venhancer_jax.models.layers.precision import matmul_precision
from venhancer_jax.sharding.shard_map import pad_to_shards

Padding = Sequence[tuple[int, int]]

_FRAMES = ("batch", "frame", None, None, None)


class SpatialConv(nnx.Conv):
    """A convolution within each frame."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        padding: Padding = ((1, 1), (1, 1)),
        strides: int = 1,
        kernel_init: nnx.Initializer = fan_in_normal,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            channels_in,
            channels_out,
            (3, 3),
            padding=padding,
            strides=strides,
            kernel_init=kernel_init,
            dtype=dtype,
            precision=matmul_precision(dtype),
            conv_general_dilated=convolve,
            rngs=rngs,
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolves `[B, F, H, W, C]`."""
        # Frames that the devices do not divide could not be joined with the batch, as a convolution
        # has them, without all devices getting all of them.
        return super().__call__(pad_to_shards(x, _FRAMES))[: x.shape[0], : x.shape[1]]


class TemporalConv(nnx.Conv):
    """A convolution of three neighbouring frames at every pixel."""

    def __init__(
        self,
        channels: int,
        *,
        kernel_init: nnx.Initializer = fan_in_normal,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        # A 2-D convolution over [F, H*W] takes half the memory and time of the 3-D form.
        super().__init__(
            channels,
            channels,
            (3, 1),
            padding=((1, 1), (0, 0)),
            kernel_init=kernel_init,
            dtype=dtype,
            precision=matmul_precision(dtype),
            conv_general_dilated=convolve,
            rngs=rngs,
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolves `[B, F, P, C]`, P the pixels of a frame; zeros before and after the frames."""
        return super().__call__(x)


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: Padding,
    *,
    precision: jax.lax.PrecisionLike = None,
    **options,
) -> jax.Array:
    """Convolves pictures; where the kernel is the largest array, as one matrix product.

    With fewer output pixels than output channels the patches that the kernel is multiplied with
    take less memory than the kernel. Written out, they leave one product with the kernel as it is
    stored, which a convolution reads again for every row of pixels.

    Args:
      x: pictures `[N, H, W, C]`.
      kernel: weights `[kh, kw, C, D]`.
      strides: steps along H and W.
      padding: zeros before and after H and W.
      precision: precision of the products.
      **options: further options of `jax.lax.conv_general_dilated`, which have no effect here.

    Returns:
      `[N, H', W', D]`.
    """
    height, width, _, channels = kernel.shape
    rows = (x.shape[1] + sum(padding[0]) - height) // strides[0] + 1
    columns = (x.shape[2] + sum(padding[1]) - width) // strides[1] + 1
    if len(x) * rows * columns >= channels:
        return jax.lax.conv_general_dilated(
            x, kernel, strides, padding, precision=precision, **options
        )
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    ends = (rows - 1) * strides[0] + 1, (columns - 1) * strides[1] + 1
    patches = [
        x[:, i : i + ends[0] : strides[0], j : j + ends[1] : strides[1]]
        for i in range(height)
        for j in range(width)
    ]
    return jax.lax.dot_general(
        jnp.stack(patches, axis=3).reshape(len(x), rows, columns, height, width, -1),
        kernel,
        (((3, 4, 5), (0, 1, 2)), ((), ())),
        precision=precision,
    )


class Downsample(nnx.Module):
    """Convolution of stride 2 that pads two rows and one column: `(h, w)` to `(h/2 + 1, w/2)`."""

    def __init__(self, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv = SpatialConv(
            channels, channels, strides=2, padding=((2, 2), (1, 1)), dtype=dtype, rngs=rngs
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.conv(x)


class Upsample(nnx.Module):
    """Nearest x2 without the first and the last row, then a convolution: the way back up."""

    def __init__(self, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv = SpatialConv(channels, channels, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[B, F, h, w, C]` to `[B, F, 2h - 2, 2w, C]`."""
        return self.conv(jax.lax.slice_in_dim(upsample_nearest(x), 1, -1, axis=-3))


def upsample_nearest(x: jax.Array) -> jax.Array:
    """Repeats every pixel twice in both directions: `[..., H, W, C]` to `[..., 2H, 2W, C]`."""
    return x.repeat(2, axis=-3).repeat(2, axis=-2)
