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
from venhancer_jax.models.remat import Remat, rematerialised

# Fewer than a 720p frame has with the channels of the first level.
_CHUNK_ELEMENTS = 2**27


def map_frames(function: Callable[..., jax.Array], *frames: jax.Array) -> jax.Array:
    """Applies a function of independent frames to a few large frames at a time.

    Args:
      function: computes `[B, f, H', W', C']` from arrays `[B, f, H, W, C]`, frame by frame.
      *frames: arrays `[B, F, H, W, C]`; the first one determines how many frames are large.

    Returns:
      `[B, F, H', W', C']`, with the scratch memory of one chunk of frames.
    """
    x = frames[0]
    return map_chunks(function, frames, _CHUNK_ELEMENTS // (x.size // x.shape[1]), axis=1)


def map_normalised(
    norm: GroupNorm, function: Callable[..., jax.Array], x: jax.Array, *others: jax.Array
) -> jax.Array:
    """Applies a function to normalised features and their SiLU.

    Statistics over all frames need all frames, but what follows them does not: it runs on a few
    large frames at a time. Statistics of single frames are computed together with what follows.

    Args:
      norm: normalisation of `x`.
      function: computes `[B, f, H', W', C']` from `silu(norm(x))` and `others`, frame by frame.
      x: features `[B, F, H, W, C]`.
      *others: arrays `[B, F, H, W, C']` that are not normalised.

    Returns:
      `[B, F, H', W', C']`.
    """
    if not norm.over_frames:
        return function(nnx.silu(norm(x)), *others)
    statistics = norm.statistics(x)
    return map_frames(
        lambda x, *others: function(nnx.silu(norm.normalise(x, *statistics)), *others), x, *others
    )


def vae_norm(
    channels: int, *, over_frames: bool = False, groups: int, dtype: DTypeLike, rngs: nnx.Rngs
) -> GroupNorm:
    """Creates a normalisation of the VAE; fewer channels than `groups` are groups of one."""
    return GroupNorm(
        channels,
        over_frames=over_frames,
        groups=min(groups, channels),
        epsilon=1e-6,
        dtype=dtype,
        rngs=rngs,
    )


class SpatialResBlock(nnx.Module):
    """Two convolutions of each frame around a shortcut.

    Their normalisations have statistics of one frame, or of all frames of a call.
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
        def norm(channels: int) -> GroupNorm:
            return vae_norm(
                channels, over_frames=over_frames, groups=groups, dtype=dtype, rngs=rngs
            )

        self.norm1 = norm(channels_in)
        self.conv1 = SpatialConv(channels_in, channels_out, dtype=dtype, rngs=rngs)
        self.norm2 = norm(channels_out)
        self.conv2 = SpatialConv(channels_out, channels_out, dtype=dtype, rngs=rngs)
        self.shortcut = (
            None
            if channels_in == channels_out
            else Linear(channels_in, channels_out, dtype=dtype, rngs=rngs)
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms `[B, F, H, W, C]`."""
        # Independent frames go through the whole block one by one, and nothing of it is stored.
        return self._convolve(x) if self.norm1.over_frames else map_frames(self._convolve, x)

    def _convolve(self, x: jax.Array) -> jax.Array:
        y = map_normalised(self.norm1, self.conv1, x)
        return map_normalised(self.norm2, self._join, y, x)

    def _join(self, y: jax.Array, x: jax.Array) -> jax.Array:
        return self.conv2(y) + (x if self.shortcut is None else self.shortcut(x))


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
        self.norm = vae_norm(channels, groups=groups, dtype=dtype, rngs=rngs)
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
        block: Callable[..., nnx.Module] = SpatialResBlock,
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
        block: Callable[..., nnx.Module] = SpatialResBlock,
        resample: Callable[..., nnx.Module] | None,
        remat: Remat = "none",
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
        self.remat: Remat = remat

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms and resamples `[B, F, H, W, C]`."""
        for resnet in self.resnets:
            x = rematerialised(resnet, self.remat)(x)
        return x if self.resample is None else map_frames(self.resample, x)
