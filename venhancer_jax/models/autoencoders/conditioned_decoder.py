"""What the decoder of Upscale-A-Video's video VAE has beyond the image decoder.

Residual blocks with a 3-D convolution, and a branch that sees the low-resolution frames and
modulates the first features by a spatial feature transform (Zhou et al. 2024, section 3.3; Wang
et al. 2018, "Recovering Realistic Texture in Image Super-resolution", section 3.2). All frames of
a call are one group: normalisations and 3-D convolutions see all of them and nothing else.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.autoencoders.blocks import SpatialResBlock, vae_norm
from venhancer_jax.models.layers.convolutions import SpatialConv
from venhancer_jax.models.layers.initializers import zeros
from venhancer_jax.models.layers.linear import matmul_precision


class Conv3dResBlock(SpatialResBlock):
    """A spatial residual block, then the residual of a 3-D convolution that starts at zero."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        over_frames: bool = True,
        groups: int,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            channels_in,
            channels_out,
            over_frames=over_frames,
            groups=groups,
            dtype=dtype,
            rngs=rngs,
        )
        self.norm_3d = vae_norm(
            channels_out, over_frames=over_frames, groups=groups, dtype=dtype, rngs=rngs
        )
        self.conv_3d = nnx.Conv(
            channels_out,
            channels_out,
            (3, 3, 3),
            padding=1,
            kernel_init=zeros,
            dtype=dtype,
            precision=matmul_precision(dtype),
            rngs=rngs,
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms `[B, F, H, W, C]`; zeros before the first and after the last frame."""
        x = super().__call__(x)
        return x + self.conv_3d(nnx.silu(self.norm_3d(x)))


class ConditionEncoder(nnx.Module):
    """Two residual blocks from low-resolution frames to features."""

    def __init__(self, channels: int, *, groups: int, dtype: DTypeLike, rngs: nnx.Rngs):
        block = functools.partial(Conv3dResBlock, groups=groups, dtype=dtype, rngs=rngs)
        self.resnets = nnx.List([block(3, channels), block(channels, channels)])

    def __call__(self, frames: jax.Array) -> jax.Array:
        """Encodes frames `[B, F, h, w, 3]` in [-1, 1] to features `[B, F, h, w, C]`."""
        for resnet in self.resnets:
            frames = resnet(frames)
        return frames


class FeatureTransform(nnx.Module):
    """A spatial feature transform: scale and shift of features that depend on a condition."""

    def __init__(
        self,
        channels: int,
        condition_channels: int,
        *,
        groups: int,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        block = functools.partial(
            SpatialResBlock, over_frames=True, groups=groups, dtype=dtype, rngs=rngs
        )
        both = condition_channels + channels
        self.resnets = nnx.List([block(both, channels), block(channels, channels)])
        self.scale = SpatialConv(channels, channels, dtype=dtype, rngs=rngs)
        self.shift = SpatialConv(channels, channels, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, condition: jax.Array, weight: jax.Array | float) -> jax.Array:
        """Transforms features.

        Args:
          x: features `[B, F, h, w, C]`.
          condition: features of the condition `[B, F, h, w, C']`.
          weight: share of the condition; 0 returns `x`.
        """
        shared = jnp.concatenate([condition, x], axis=-1)
        for resnet in self.resnets:
            shared = resnet(shared)
        return x + weight * (x * self.scale(shared) + self.shift(shared))
