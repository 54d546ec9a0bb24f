"""The VAE between pixels and latents: a KL encoder with an image, temporal or conditioned decoder.

Encoder and image decoder are those of Stable Diffusion (Rombach et al. 2022); the temporal
decoder is that of Stable Video Diffusion, the conditioned one that of Upscale-A-Video.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.autoencoders.blocks import (
    Level,
    MidBlock,
    SpatialResBlock,
    map_frames,
    map_normalised,
    vae_norm,
)
from venhancer_jax.models.autoencoders.conditioned_decoder import (
    ConditionEncoder,
    Conv3dResBlock,
    FeatureTransform,
)
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.autoencoders.patch_shortcut import LatentToPatch, PatchToLatent
from venhancer_jax.models.autoencoders.temporal_decoder import (
    SpatioTemporalResBlock,
    VideoTemporalConv,
)
from venhancer_jax.models.layers.convolutions import Downsample, SpatialConv, Upsample
from venhancer_jax.models.layers.initializers import fan_in_normal, zeros
from venhancer_jax.models.layers.linear import Linear

_LOG_VARIANCE = -8.0
# Zeros below and to the right only: even sizes are halved.
downsample = functools.partial(Downsample, padding=((0, 1), (0, 1)))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DiagonalGaussian:
    """A normal distribution over the raw latents of frames.

    Attributes:
      mean: mean of every latent, `[B, F, h, w, C]` float32.
      log_variance: logarithm of its variance, shaped like `mean`, within [-30, 20].
    """

    mean: jax.Array
    log_variance: jax.Array

    @property
    def std(self) -> jax.Array:
        """Returns the standard deviation of every latent."""
        return jnp.exp(0.5 * self.log_variance)

    def sample(self, noise: jax.Array) -> jax.Array:
        """Computes raw latents from standard normal noise shaped like `mean`."""
        return self.mean + self.std * noise


class Encoder(nnx.Module):
    """The encoder: frames to the moments of raw latents."""

    def __init__(self, config: VAEConfig, rngs: nnx.Rngs):
        dtype, groups, deepest = config.encoder_dtype, config.groups, config.channels[-1]
        joint = config.norm_over_frames
        block = functools.partial(SpatialResBlock, over_frames=joint)
        self.conv_in = SpatialConv(3, config.channels[0], dtype=dtype, rngs=rngs)
        levels = []
        channels = config.channels[0]
        for i, wider in enumerate(config.channels):
            level = Level(
                channels,
                wider,
                blocks=config.blocks_per_level,
                block=block,
                resample=downsample if i < len(config.channels) - 1 else None,
                groups=groups,
                dtype=dtype,
                rngs=rngs,
            )
            levels.append(level)
            channels = wider
        self.down_blocks = nnx.List(levels)
        self.mid_block = MidBlock(
            deepest,
            block=block,
            attends=config.mid_attention,
            groups=groups,
            implementation=config.attention,
            dtype=dtype,
            rngs=rngs,
        )
        self.norm_out = vae_norm(deepest, over_frames=joint, groups=groups, dtype=dtype, rngs=rngs)
        self.conv_out = SpatialConv(
            deepest,
            2 * config.latent_channels,
            kernel_init=_out_init(config),
            dtype=dtype,
            rngs=rngs,
        )

    def __call__(self, frames: jax.Array) -> jax.Array:
        """Encodes frames `[B, F, H, W, 3]` to moments `[B, F, h, w, 2C]`."""
        x = self.conv_in(frames)
        for level in self.down_blocks:
            x = level(x)
        return self.conv_out(nnx.silu(self.norm_out(self.mid_block(x))))


class Decoder(nnx.Module):
    """The decoder: raw latents to frames, each by itself or all frames of a call together."""

    def __init__(self, config: VAEConfig, rngs: nnx.Rngs):
        dtype, groups, deepest = config.dtype, config.groups, config.channels[-1]
        joint, condition = config.norm_over_frames, config.condition_channels
        block = functools.partial(_decoder_block(config), over_frames=joint)
        self.conv_in = SpatialConv(config.latent_channels, deepest, dtype=dtype, rngs=rngs)
        self.condition_in = (
            ConditionEncoder(condition, groups=groups, dtype=dtype, rngs=rngs)
            if condition
            else None
        )
        self.condition_fuse = (
            FeatureTransform(deepest, condition, groups=groups, dtype=dtype, rngs=rngs)
            if condition
            else None
        )
        self.mid_block = MidBlock(
            deepest,
            block=block,
            attends=config.mid_attention,
            groups=groups,
            implementation=config.attention,
            dtype=dtype,
            rngs=rngs,
        )
        levels = []
        channels = deepest
        for i, narrower in enumerate(reversed(config.channels)):
            level = Level(
                channels,
                narrower,
                blocks=config.blocks_per_level + 1,
                block=block,
                resample=Upsample if i < len(config.channels) - 1 else None,
                remat=config.remat,
                groups=groups,
                dtype=dtype,
                rngs=rngs,
            )
            levels.append(level)
            channels = narrower
        self.up_blocks = nnx.List(levels)
        # Pixels are float32: their rounding would be the first thing to be seen.
        exact = jnp.float32
        self.norm_out = vae_norm(channels, over_frames=joint, groups=groups, dtype=exact, rngs=rngs)
        self.conv_out = SpatialConv(
            channels, 3, kernel_init=_out_init(config), dtype=exact, rngs=rngs
        )
        self.time_conv_out = (
            VideoTemporalConv(3, dtype=exact, rngs=rngs) if config.temporal_decoder else None
        )

    def __call__(
        self,
        latents: jax.Array,
        condition: jax.Array | None = None,
        condition_weight: jax.Array | float = 1.0,
    ) -> jax.Array:
        """Decodes raw latents.

        Args:
          latents: raw latents `[B, F, h, w, C]`.
          condition: low-resolution frames `[B, F, h, w, 3]` in [-1, 1]; unused without the branch.
          condition_weight: share of the condition.

        Returns:
          Frames `[B, F, H, W, 3]` float32.

        Raises:
          ValueError: a decoder with the branch got no condition.
        """
        x = self.conv_in(latents)
        if self.condition_in is not None and self.condition_fuse is not None:
            if condition is None:
                raise ValueError("this decoder sees the low-resolution frames: expected condition")
            x = self.condition_fuse(x, self.condition_in(condition), condition_weight)
        x = self.mid_block(x)
        for level in self.up_blocks:
            x = level(x)
        x = self._to_pixels(x) if self.norm_out.over_frames else map_frames(self._to_pixels, x)
        return x if self.time_conv_out is None else self.time_conv_out(x)

    def _to_pixels(self, x: jax.Array) -> jax.Array:
        return map_normalised(self.norm_out, self.conv_out, x)


def _decoder_block(config: VAEConfig) -> type[SpatialResBlock]:
    if config.temporal_decoder:
        return SpatioTemporalResBlock
    return Conv3dResBlock if config.condition_channels else SpatialResBlock


def _out_init(config: VAEConfig) -> nnx.Initializer:
    return zeros if config.patch_shortcut else fan_in_normal


def _moments_init(config: VAEConfig) -> nnx.Initializer:
    """Returns the initialiser of the moments: with the shortcut, of a small variance."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> jax.Array:
        del key
        start = _LOG_VARIANCE if config.patch_shortcut else 0.0
        return jnp.zeros(shape, dtype).at[config.latent_channels :].set(start)

    return init


class VAE(nnx.Module):
    """Encoder and decoder between frames in [-1, 1] and latents.

    `encode` and `decode` work on raw latents, `encode_latents` and `decode_latents` on the latents
    of the diffusion networks, `scaling_factor` times the raw ones.
    """

    def __init__(self, config: VAEConfig, rngs: nnx.Rngs):
        moments, latents = 2 * config.latent_channels, config.latent_channels
        self.encoder = Encoder(config, rngs)
        self.quant_conv = Linear(
            moments, moments, bias_init=_moments_init(config), dtype=config.encoder_dtype, rngs=rngs
        )
        self.post_quant_conv = (
            None
            if config.temporal_decoder
            else Linear(latents, latents, dtype=config.dtype, rngs=rngs)
        )
        self.decoder = Decoder(config, rngs)
        patch = config.pixels_per_latent
        self.to_latent = (
            PatchToLatent(patch, latents, dtype=config.encoder_dtype, rngs=rngs)
            if config.patch_shortcut
            else None
        )
        self.to_patch = (
            LatentToPatch(patch, latents, dtype=config.dtype, rngs=rngs)
            if config.patch_shortcut
            else None
        )
        self.scaling_factor = config.scaling_factor

    def encode(self, frames: jax.Array) -> DiagonalGaussian:
        """Encodes frames, each by itself unless the norms are over frames.

        Args:
          frames: frames `[B, F, H, W, 3]` in [-1, 1], H and W multiples of `pixels_per_latent`.

        Returns:
          Distribution of the raw latents `[B, F, h, w, C]` float32.
        """
        moments = self.quant_conv(self.encoder(frames)).astype(jnp.float32)
        mean, log_variance = jnp.split(moments, 2, axis=-1)
        if self.to_latent is not None:
            mean = mean + self.to_latent(frames)
        return DiagonalGaussian(mean, jnp.clip(log_variance, -30.0, 20.0))

    def decode(
        self,
        latents: jax.Array,
        condition: jax.Array | None = None,
        condition_weight: jax.Array | float = 1.0,
    ) -> jax.Array:
        """Decodes raw latents, all F frames as one group unless the decoder is one of images.

        Args:
          latents: raw latents `[B, F, h, w, C]`.
          condition: low-resolution frames `[B, F, h, w, 3]` in [-1, 1], without noise, that a
            decoder with `condition_channels` needs and others ignore.
          condition_weight: share of the condition; 1 is the published one.

        Returns:
          Frames `[B, F, H, W, 3]` float32, about in [-1, 1].
        """
        raw = latents
        if self.post_quant_conv is not None:
            latents = self.post_quant_conv(latents)
        frames = self.decoder(latents, condition, condition_weight).astype(jnp.float32)
        return frames if self.to_patch is None else frames + self.to_patch(raw)

    def encode_latents(self, frames: jax.Array, noise: jax.Array) -> jax.Array:
        """Samples latents for the diffusion networks from the posterior.

        Args:
          frames: frames `[B, F, H, W, 3]` in [-1, 1].
          noise: standard normal noise `[B, F, h, w, C]`; zeros give the mean.

        Returns:
          Latents `[B, F, h, w, C]` float32.
        """
        return self.scaling_factor * self.encode(frames).sample(noise)

    def decode_latents(
        self,
        latents: jax.Array,
        condition: jax.Array | None = None,
        condition_weight: jax.Array | float = 1.0,
    ) -> jax.Array:
        """Decodes latents of the diffusion networks.

        Args:
          latents: latents `[B, F, h, w, C]`, `scaling_factor` times the raw ones.
          condition: low-resolution frames `[B, F, h, w, 3]`, as `decode` takes them.
          condition_weight: share of the condition.

        Returns:
          Frames `[B, F, H, W, 3]` float32, about in [-1, 1].
        """
        return self.decode(latents / self.scaling_factor, condition, condition_weight)
