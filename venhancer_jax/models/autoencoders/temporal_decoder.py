"""Temporal convolutions that the video decoder has beyond the image decoder.

The decoder of Stable Video Diffusion (Blattmann et al. 2023, appendix D). All frames of a call
are one group: the temporal normalisations and convolutions see all of them and nothing else.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.autoencoders.blocks import SpatialResBlock
from venhancer_jax.models.layers.convolutions import TemporalConv
from venhancer_jax.models.layers.norms import GroupNorm


class VideoTemporalConv(nnx.Module):
    """A temporal convolution of `[B, F, H, W, C]`."""

    def __init__(self, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv = TemporalConv(channels, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolves `[B, F, H, W, C]`; zeros before the first and after the last frame."""
        b, f, h, w, c = x.shape
        return self.conv(x.reshape(b, f, h * w, c)).reshape(x.shape)


class TemporalResidual(nnx.Module):
    """The residual of a temporal block: two temporal convolutions."""

    def __init__(self, channels: int, *, groups: int, dtype: DTypeLike, rngs: nnx.Rngs):
        def norm() -> GroupNorm:
            return GroupNorm(
                channels, over_frames=True, groups=groups, epsilon=1e-5, dtype=dtype, rngs=rngs
            )

        self.norm1, self.norm2 = norm(), norm()
        self.conv1 = VideoTemporalConv(channels, dtype=dtype, rngs=rngs)
        self.conv2 = VideoTemporalConv(channels, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms `[B, F, H, W, C]`."""
        y = self.conv1(nnx.silu(self.norm1(x)))
        return self.conv2(nnx.silu(self.norm2(y)))


class SpatioTemporalResBlock(SpatialResBlock):
    """A spatial residual block, then a share of a temporal one.

    With s from the first, s + r from the second and a = sigmoid(mix_factor), the blend
    (1 - a) s + a (s + r) is s + a r.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        over_frames: bool = False,
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
        self.temporal = TemporalResidual(channels_out, groups=groups, dtype=dtype, rngs=rngs)
        self.mix_factor = nnx.Param(jnp.zeros(1))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms `[B, F, H, W, C]`."""
        x = super().__call__(x)
        share = jax.nn.sigmoid(self.mix_factor[...]).astype(x.dtype)
        return x + share * self.temporal(x)
