"""Spatial and temporal convolutions of a video, and resampling by two."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.layers.initializers import fan_in_normal
from venhancer_jax.models.layers.linear import matmul_precision
from venhancer_jax.sharding.mesh import cache_bytes, is_sharded
from venhancer_jax.sharding.shard_map import pad_to_shards

# Zeros before and after the rows, then before and after the columns.
Padding = tuple[tuple[int, int], tuple[int, int]]

# Input channels of a convolution on a processor are filled up to a multiple of this.
_ALIGNED = 4
_FRAMES = ("batch", "frame", None, None, None)


class SpatialConv(nnx.Conv):
    """A 3x3 convolution within each frame."""

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
        """Convolves every frame of `[B, F, H, W, C]`."""
        # The convolution joins frames with the batch. If the devices did not divide them, every
        # device would have to gather all frames.
        return super().__call__(pad_to_shards(x, _FRAMES))[: x.shape[0], : x.shape[1]]


class TemporalConv(nnx.Conv):
    """A convolution of an odd number of neighbouring frames at every pixel."""

    def __init__(
        self,
        channels: int,
        *,
        frames: int = 3,
        kernel_init: nnx.Initializer = fan_in_normal,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        # A 2-D convolution over [F, H*W] takes half the memory and time of the 3-D form.
        super().__init__(
            channels,
            channels,
            (frames, 1),
            padding=((frames // 2, frames // 2), (0, 0)),
            kernel_init=kernel_init,
            dtype=dtype,
            precision=matmul_precision(dtype),
            conv_general_dilated=convolve,
            rngs=rngs,
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolves `[B, F, P, C]`, P the pixels of a frame; pads the frames with zeros."""
        return super().__call__(x)


class Downsample(nnx.Module):
    """A convolution of stride 2 that halves rows and columns."""

    def __init__(self, channels: int, *, padding: Padding, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv = SpatialConv(
            channels, channels, strides=2, padding=padding, dtype=dtype, rngs=rngs
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Computes `[B, F, (H + padding - 1) // 2, (W + padding - 1) // 2, C]`."""
        return self.conv(x)


class Upsample(nnx.Module):
    """Nearest-neighbour upsampling by two, then a convolution."""

    def __init__(self, channels: int, *, crop_rows: int = 0, dtype: DTypeLike, rngs: nnx.Rngs):
        """Creates the layer.

        Args:
          channels: channels of input and result.
          crop_rows: rows to crop from the top and from the bottom before the convolution.
          dtype: type of activations and weights.
          rngs: random-number streams of the initialisers.
        """
        self.conv = SpatialConv(channels, channels, dtype=dtype, rngs=rngs)
        self.crop_rows = crop_rows

    def __call__(self, x: jax.Array, size: tuple[int, int] | None = None) -> jax.Array:
        """Computes `[B, F, 2 H - 2 crop_rows, 2 W, C]`, or fewer rows and columns.

        Args:
          x: features `[B, F, H, W, C]`.
          size: rows and columns to keep, at the top left, such as those of an odd size before a
            downsampling.
        """
        # Accelerators would pad the axes of length 2 between the phases.
        if size is None and not self.crop_rows and cache_bytes() is not None:
            return self._in_phases(x)
        x = x.repeat(2, axis=-3).repeat(2, axis=-2)
        rows = x.shape[-3] - self.crop_rows
        x = jax.lax.slice_in_dim(x, self.crop_rows, rows, axis=-3)
        return self.conv(x if size is None else x[..., : size[0], : size[1], :])

    def _in_phases(self, x: jax.Array) -> jax.Array:
        """Computes `[B, F, 2 H, 2 W, C]` with four ninths of the products.

        Three neighbouring rows of an upsampled picture are two rows of the picture, one of them
        twice: the last one for even rows of the result, the first one for odd rows. Columns are
        alike, so each of the four kinds of pixels is a 2x2 convolution of the picture.
        """
        dtype, kernel = self.conv.dtype, self.conv.kernel[...].astype(jnp.float32)
        pictures = x.astype(dtype).reshape(-1, *x.shape[-3:])
        lines = []
        for row, of_rows in enumerate(_phase_kernels(kernel, axis=0)):
            pixels = [
                convolve(
                    pictures,
                    phase.astype(dtype),
                    (1, 1),
                    ((1 - row, row), (1 - column, column)),
                    precision=self.conv.precision,
                    dimension_numbers=("NHWC", "HWIO", "NHWC"),
                )
                for column, phase in enumerate(_phase_kernels(of_rows, axis=1))
            ]
            lines.append(jnp.stack(pixels, axis=3))
        assert self.conv.bias is not None
        out = jnp.stack(lines, axis=2) + self.conv.bias[...].astype(dtype)
        return out.reshape(*x.shape[:-3], 2 * x.shape[-3], 2 * x.shape[-2], -1)


def _phase_kernels(kernel: jax.Array, *, axis: int) -> tuple[jax.Array, jax.Array]:
    """Returns the kernels of length 2 of even and of odd positions, from one of length 3."""
    first, middle, last = jnp.split(kernel, 3, axis)
    even = jnp.concatenate([first, middle + last], axis)
    return even, jnp.concatenate([first + middle, last], axis)


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

    With fewer output pixels than output channels, the patches that the kernel is multiplied with
    take less memory than the kernel. Their product with the kernel reads the kernel once, where a
    convolution may read it again for every row of pixels. On processors a channel of zeros is added
    to the three of a picture: four are loaded together, and three take eight times as long.

    Args:
      x: pictures `[N, H, W, C]`.
      kernel: weights `[kh, kw, C, D]`.
      strides: steps along H and W.
      padding: zeros before and after H and W.
      precision: precision of the products.
      **options: further options of `jax.lax.conv_general_dilated`, all at their defaults for NHWC.

    Returns:
      `[N, H', W', D]`.
    """
    height, width, channels_in, channels_out = kernel.shape
    rows = (x.shape[1] + sum(padding[0]) - height) // strides[0] + 1
    columns = (x.shape[2] + sum(padding[1]) - width) // strides[1] + 1
    missing = -channels_in % _ALIGNED
    # Accelerators align channels themselves; the integers of `int8` come with their scales.
    if missing and cache_bytes() is not None and isinstance(kernel, jax.Array):
        x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, missing)))
        kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, missing), (0, 0)))
    # The compiler knows how to exchange the borders of a sharded convolution.
    if len(x) * rows * columns >= channels_out or is_sharded():
        return jax.lax.conv_general_dilated(
            x, kernel, strides, padding, precision=precision, **options
        )
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    last_row, last_column = (rows - 1) * strides[0] + 1, (columns - 1) * strides[1] + 1
    patches = [
        x[:, i : i + last_row : strides[0], j : j + last_column : strides[1]]
        for i in range(height)
        for j in range(width)
    ]
    return jax.lax.dot_general(
        jnp.stack(patches, axis=3).reshape(len(x), rows, columns, height, width, -1),
        kernel,
        (((3, 4, 5), (0, 1, 2)), ((), ())),
        precision=precision,
    )
