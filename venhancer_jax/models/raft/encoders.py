"""Feature and context encoders of RAFT: residual networks at one eighth of the resolution."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.layers.linear import matmul_precision

_EPSILON = 1e-5
Norm = Callable[..., nnx.Module]


class Conv(nnx.Conv):
    """A convolution of pictures, padded with as many zeros on every side as its kernel reaches."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: tuple[int, int],
        *,
        strides: int = 1,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            channels_in,
            channels_out,
            kernel,
            strides=strides,
            padding=tuple((length // 2, length // 2) for length in kernel),
            dtype=dtype,
            precision=matmul_precision(dtype),
            rngs=rngs,
        )


class InstanceNorm(nnx.Module):
    """Normalisation of each channel of each picture, without parameters."""

    def __init__(self, channels: int):
        del channels

    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalises `[N, H, W, C]` with float32 statistics."""
        x32 = x.astype(jnp.float32)
        mean = x32.mean((1, 2), keepdims=True)
        variance = jnp.square(x32 - mean).mean((1, 2), keepdims=True)
        return ((x32 - mean) * jax.lax.rsqrt(variance + _EPSILON)).astype(x.dtype)


class BatchNorm(nnx.Module):
    """Normalisation by the statistics of the training, which are parameters."""

    def __init__(self, channels: int):
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))
        self.mean = nnx.Param(jnp.zeros(channels))
        self.variance = nnx.Param(jnp.ones(channels))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalises `[N, H, W, C]` in float32."""
        gain = jax.lax.rsqrt(self.variance[...] + _EPSILON) * self.scale[...]
        return ((x.astype(jnp.float32) - self.mean[...]) * gain + self.bias[...]).astype(x.dtype)


class ResidualBlock(nnx.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        *,
        strides: int,
        norm: Norm,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.conv1 = Conv(channels_in, channels, (3, 3), strides=strides, dtype=dtype, rngs=rngs)
        self.norm1 = norm(channels)
        self.conv2 = Conv(channels, channels, (3, 3), dtype=dtype, rngs=rngs)
        self.norm2 = norm(channels)
        halves = strides > 1
        self.shortcut = (
            Conv(channels_in, channels, (1, 1), strides=strides, dtype=dtype, rngs=rngs)
            if halves
            else None
        )
        self.shortcut_norm = norm(channels) if halves else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[N, H, W, C]` to `[N, H / strides, W / strides, channels]`."""
        y = nnx.relu(self.norm1(self.conv1(x)))
        y = nnx.relu(self.norm2(self.conv2(y)))
        if self.shortcut is not None and self.shortcut_norm is not None:
            x = self.shortcut_norm(self.shortcut(x))
        return nnx.relu(x + y)


class Encoder(nnx.Module):
    """A residual network of three stages, the first one at half the resolution."""

    def __init__(
        self,
        widths: tuple[int, int, int],
        channels_out: int,
        *,
        norm: Norm,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.conv_in = Conv(3, widths[0], (7, 7), strides=2, dtype=dtype, rngs=rngs)
        self.norm_in = norm(widths[0])
        self.blocks = nnx.List()
        channels = widths[0]
        for stage, width in enumerate(widths):
            for block in range(2):
                strides = 2 if stage and not block else 1
                options = {"strides": strides, "norm": norm, "dtype": dtype, "rngs": rngs}
                self.blocks.append(ResidualBlock(channels, width, **options))
                channels = width
        self.conv_out = Conv(channels, channels_out, (1, 1), dtype=dtype, rngs=rngs)

    def __call__(self, frames: jax.Array) -> jax.Array:
        """Maps frames `[N, H, W, 3]` to `[N, H / 8, W / 8, channels_out]`."""
        x = nnx.relu(self.norm_in(self.conv_in(frames)))
        for block in self.blocks:
            x = block(x)
        return self.conv_out(x)
