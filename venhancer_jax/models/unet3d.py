"""The video UNet: the diffusion prior, and the encoder that its ControlNet copies."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.attention import Implementation
from venhancer_jax.models.layers import MLP, GroupNorm, sinusoidal_embedding, zeros
from venhancer_jax.models.remat import Remat, rematerialised
from venhancer_jax.models.resnet import Downsample, ResBlock, Upsample, conv3x3
from venhancer_jax.models.transformer import SpatialTransformer, TemporalTransformer
from venhancer_jax.sharding.mesh import constrain

VIDEO_AXES = ("batch", "frame", "row", None, None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class UNet3DConfig:
    """Sizes of the video UNet and of the ControlNet that copies its encoder.

    Attributes:
      latent_channels: of the input and of the prediction.
      width: channels of the first level.
      multipliers: channels of each level, in units of `width`.
      blocks_per_level: residual blocks of a level on the way down (one more on the way up).
      attention_levels: levels whose blocks have transformers.
      context_width: of the text features.
      head_dim: of every attention.
      first_temporal_heads: of the temporal transformer right behind the first convolution, whose
        inner width is this times `head_dim`, whatever `width` is.
      attention: implementation of attention.
      temporal_pixels_at_once: bound on the pixels that a temporal transformer works on at a time.
      remat: what a gradient keeps of each block, by the name of `models.remat`.
      dtype: of activations and matrix products; statistics stay in float32.
    """

    latent_channels: int = 4
    width: int = 320
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks_per_level: int = 2
    attention_levels: tuple[int, ...] = (0, 1, 2)
    context_width: int = 1024
    head_dim: int = 64
    first_temporal_heads: int = 8
    attention: Implementation = "auto"
    temporal_pixels_at_once: int = 4096
    remat: Remat = "none"
    dtype: DTypeLike = jnp.float32

    @classmethod
    def venhancer(cls, **changes) -> "UNet3DConfig":
        """The published network: 1,411,233,860 parameters."""
        return cls(**changes)

    @classmethod
    def tiny(cls, **changes) -> "UNet3DConfig":
        """The same network small enough for a laptop's processor."""
        tiny = cls(width=32, context_width=64, head_dim=16, first_temporal_heads=2)
        return dataclasses.replace(tiny, **changes)

    @classmethod
    def demo(cls, **changes) -> "UNet3DConfig":
        """The network of the model that ships with the package."""
        demo = cls.tiny(
            latent_channels=16,
            width=64,
            multipliers=(1, 1),
            blocks_per_level=1,
            attention_levels=(),
            context_width=16,
        )
        return dataclasses.replace(demo, **changes)

    @property
    def embedding_width(self) -> int:
        """Of the time embedding."""
        return 4 * self.width

    @property
    def channels(self) -> tuple[int, ...]:
        """Of each level."""
        return tuple(self.width * multiplier for multiplier in self.multipliers)

    @property
    def rows_modulus(self) -> tuple[int, int]:
        """`(remainder, modulus)` of the latent heights that the levels can halve and restore."""
        modulus = 2 ** (len(self.multipliers) - 1)
        return 2 % modulus, modulus


class Block(nnx.Module):
    """One step of the UNet: what is present runs in the order convolve, attend, resample."""

    def __init__(
        self,
        config: UNet3DConfig,
        channels_in: int,
        channels_out: int,
        *,
        attends: bool,
        up: bool = False,
        rngs: nnx.Rngs,
    ):
        dtype = config.dtype
        self.resnet = ResBlock(
            channels_in,
            channels_out,
            embedding_width=config.embedding_width,
            dtype=dtype,
            rngs=rngs,
        )
        self.spatial = spatial_transformer(config, channels_out, rngs) if attends else None
        self.temporal = temporal_transformer(config, channels_out, rngs) if attends else None
        self.upsample = Upsample(channels_out, dtype=dtype, rngs=rngs) if up else None

    def __call__(self, x: jax.Array, embedding: jax.Array, text: jax.Array) -> jax.Array:
        """`x [B, F, H, W, C]`, `embedding [B, F or 1, E]`, `text [B, L, D]`."""
        x = self.resnet(constrain(x, VIDEO_AXES), embedding)
        if self.spatial is not None and self.temporal is not None:
            x = self.temporal(self.spatial(x, text))
        return x if self.upsample is None else self.upsample(x)


class InputBlock(nnx.Module):
    """The first step: latents to channels, then attention among the frames."""

    def __init__(self, config: UNet3DConfig, rngs: nnx.Rngs):
        self.conv = conv3x3(config.latent_channels, config.width, dtype=config.dtype, rngs=rngs)
        inner = config.first_temporal_heads * config.head_dim
        self.temporal = temporal_transformer(config, config.width, rngs, inner=inner)

    def __call__(self, x: jax.Array, added: jax.Array | None) -> jax.Array:
        x = self.conv(constrain(x, VIDEO_AXES))
        return self.temporal(x if added is None else x + added)


class MiddleBlock(nnx.Module):
    """The deepest step: two residual blocks around the transformers."""

    def __init__(self, config: UNet3DConfig, rngs: nnx.Rngs):
        channels = config.channels[-1]
        options = {"embedding_width": config.embedding_width, "dtype": config.dtype}
        self.resnet1 = ResBlock(channels, channels, rngs=rngs, **options)
        self.spatial = spatial_transformer(config, channels, rngs)
        self.temporal = temporal_transformer(config, channels, rngs)
        self.resnet2 = ResBlock(channels, channels, rngs=rngs, **options)

    def __call__(self, x: jax.Array, embedding: jax.Array, text: jax.Array) -> jax.Array:
        x = self.temporal(self.spatial(self.resnet1(x, embedding), text))
        return self.resnet2(x, embedding)


class Encoder(nnx.Module):
    """The way down: time embedding, input blocks and middle block."""

    def __init__(self, config: UNet3DConfig, rngs: nnx.Rngs):
        self.time_embedding = MLP(
            config.width, config.embedding_width, dtype=config.dtype, rngs=rngs
        )
        blocks: list[nnx.Module] = [InputBlock(config, rngs)]
        channels = config.width
        for level, wider in enumerate(config.channels):
            for _ in range(config.blocks_per_level):
                attends = level in config.attention_levels
                blocks.append(Block(config, channels, wider, attends=attends, rngs=rngs))
                channels = wider
            if level < len(config.channels) - 1:
                blocks.append(Downsample(channels, dtype=config.dtype, rngs=rngs))
        self.input_blocks = nnx.List(blocks)
        self.middle_block = MiddleBlock(config, rngs)
        self.width = config.width
        self.remat: Remat = config.remat

    def embed_time(self, t: jax.Array) -> jax.Array:
        """`[B]` time steps to `[B, 1, E]`."""
        return self.time_embedding(sinusoidal_embedding(t, self.width))[:, None]

    def __call__(
        self,
        x: jax.Array,
        embedding: jax.Array,
        text: jax.Array,
        added: jax.Array | None = None,
    ) -> tuple[jax.Array, ...]:
        """Runs all blocks.

        Args:
          x: noisy latents `[B, F, h, w, 4]`.
          embedding: `[B, F or 1, E]`.
          text: `[B, L, D]`.
          added: `[B, F, h, w, C]` that joins the features behind the first convolution.

        Returns:
          The output of every input block, then that of the middle block.
        """
        outputs = []
        for block in self.input_blocks:
            if isinstance(block, InputBlock):
                x = rematerialised(block, self.remat)(x, added)
            elif isinstance(block, Downsample):
                x = block(x)
            else:
                x = rematerialised(block, self.remat)(x, embedding, text)
            outputs.append(x)
        middle = rematerialised(self.middle_block, self.remat)
        outputs.append(middle(x, embedding, text))
        return tuple(outputs)


class Head(nnx.Module):
    """Features to the prediction."""

    def __init__(self, config: UNet3DConfig, rngs: nnx.Rngs):
        dtype = config.dtype
        self.norm = GroupNorm(config.width, over_frames=False, epsilon=1e-5, dtype=dtype, rngs=rngs)
        self.conv = conv3x3(
            config.width, config.latent_channels, kernel_init=zeros, dtype=dtype, rngs=rngs
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.conv(nnx.silu(self.norm(x))).astype(jnp.float32)


class UNet3D(nnx.Module):
    """Predicts v from noisy video latents, a time step and text (VEnhancer paper, section 3.1)."""

    def __init__(self, config: UNet3DConfig, rngs: nnx.Rngs):
        self.encoder = Encoder(config, rngs)
        skips = encoder_channels(config)
        channels = config.channels[-1]
        blocks: list[nnx.Module] = []
        for level in reversed(range(len(config.channels))):
            for i in range(config.blocks_per_level + 1):
                block = Block(
                    config,
                    channels + skips.pop(),
                    config.channels[level],
                    attends=level in config.attention_levels,
                    up=level > 0 and i == config.blocks_per_level,
                    rngs=rngs,
                )
                channels = config.channels[level]
                blocks.append(block)
        self.output_blocks = nnx.List(blocks)
        self.head = Head(config, rngs)
        self.remat: Remat = config.remat

    def __call__(
        self,
        x: jax.Array,
        t: jax.Array,
        text: jax.Array,
        control: tuple[jax.Array, ...] | None = None,
    ) -> jax.Array:
        """Predicts v.

        Args:
          x: noisy latents `[B, F, h, w, 4]`; `h` is 2 and `w` is 0 modulo 8.
          t: time steps `[B]`, integers or not.
          text: `[B, L, D]`.
          control: what `VideoControlNet` gives: one array for each output of the encoder.

        Returns:
          `[B, F, h, w, 4]` float32.
        """
        embedding = self.encoder.embed_time(t)
        *skips, x = self.encoder(x, embedding, text)
        if control is not None:
            *on_skips, on_middle = control
            x = x + on_middle
            skips = [skip + more for skip, more in zip(skips, on_skips, strict=True)]
        for block in self.output_blocks:
            joined = jnp.concatenate([x, skips.pop()], axis=-1)
            x = rematerialised(block, self.remat)(joined, embedding, text)
        return self.head(x)


def spatial_transformer(config: UNet3DConfig, channels: int, rngs: nnx.Rngs) -> SpatialTransformer:
    """The transformer within frames, as the config has it."""
    return SpatialTransformer(
        channels,
        context_width=config.context_width,
        head_dim=config.head_dim,
        implementation=config.attention,
        dtype=config.dtype,
        rngs=rngs,
    )


def temporal_transformer(
    config: UNet3DConfig, channels: int, rngs: nnx.Rngs, *, inner: int | None = None
) -> TemporalTransformer:
    """The transformer across frames, as the config has it."""
    return TemporalTransformer(
        channels,
        inner=inner,
        head_dim=config.head_dim,
        pixels_at_once=config.temporal_pixels_at_once,
        implementation=config.attention,
        dtype=config.dtype,
        rngs=rngs,
    )


def encoder_channels(config: UNet3DConfig) -> list[int]:
    """Channels of the output of every input block, in order."""
    channels = [config.width]
    for level, wide in enumerate(config.channels):
        channels += [wide] * config.blocks_per_level
        if level < len(config.channels) - 1:
            channels.append(wide)
    return channels
