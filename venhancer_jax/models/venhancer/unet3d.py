"""The video UNet: the diffusion prior, and the encoder that its ControlNet copies."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.layers.attention import Implementation
from venhancer_jax.models.layers.convolutions import Downsample, SpatialConv, Upsample
from venhancer_jax.models.layers.embeddings import MLP, sinusoidal_embedding
from venhancer_jax.models.layers.initializers import zeros
from venhancer_jax.models.layers.norms import GroupNorm
from venhancer_jax.models.layers.resnet import VideoResBlock
from venhancer_jax.models.layers.text_kv_cache import Text, context_for, text_for
from venhancer_jax.models.layers.transformer import SpatialTransformer, TemporalTransformer
from venhancer_jax.models.remat import Remat, rematerialised
from venhancer_jax.sharding.mesh import VIDEO_AXES, constrain

# Two rows and one column of zeros on either side: `(h, w)` to `(h / 2 + 1, w / 2)`; on the way up a
# row is cropped on either side: `(h, w)` to `(2 h - 2, 2 w)`.
DOWN_PADDING = ((2, 2), (1, 1))
UP_CROP_ROWS = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class UNet3DConfig:
    """Sizes of the video UNet and of the ControlNet that copies its encoder.

    Attributes:
      latent_channels: channels of the input and of the prediction.
      width: channels of the first level.
      multipliers: channels of each level, in units of `width`.
      blocks_per_level: residual blocks of each level on the way down (one more on the way up).
      attention_levels: levels whose blocks have transformers.
      context_width: channels of the text features.
      head_dim: channels of every attention head.
      first_temporal_heads: heads of the temporal transformer behind the first convolution, whose
        inner width is `first_temporal_heads * head_dim`.
      attention: implementation of attention.
      temporal_pixels_at_once: most pixels in a chunk of a temporal transformer.
      remat: rematerialisation policy of every block, a name of `models.remat`.
      dtype: type of activations and weights; statistics and the last convolution are float32.
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
        """Returns the sizes of the published network: 1,411,233,860 parameters."""
        return cls(**changes)

    @classmethod
    def tiny(cls, **changes) -> "UNet3DConfig":
        """Returns sizes for tests and laptops."""
        tiny = cls(width=32, context_width=64, head_dim=16, first_temporal_heads=2)
        return dataclasses.replace(tiny, **changes)

    @classmethod
    def demo(cls, **changes) -> "UNet3DConfig":
        """Returns the sizes of the model that ships with the package."""
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
        """Returns the channels of the time embedding."""
        return 4 * self.width

    @property
    def channels(self) -> tuple[int, ...]:
        """Returns the channels of each level."""
        return tuple(self.width * multiplier for multiplier in self.multipliers)

    @property
    def rows_modulus(self) -> tuple[int, int]:
        """Returns `(remainder, modulus)` of latent heights that the levels halve and restore."""
        modulus = 2 ** (len(self.multipliers) - 1)
        return 2 % modulus, modulus

    def smallest_inputs(self) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns noisy latents `[1, 1, h, w, C]` of the least size, and conditions for them."""
        remainder, modulus = self.rows_modulus
        x = jnp.zeros((1, 1, remainder or modulus, modulus, self.latent_channels))
        one = jnp.ones(1, int)
        return x, {"hint": x, "hint_t": one, "scale": one, "key_index": one[None] - 1}


class Block(nnx.Module):
    """A block of the UNet: residual block, then transformers and upsampling where configured."""

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
        self.resnet = VideoResBlock(
            channels_in,
            channels_out,
            embedding_width=config.embedding_width,
            dtype=dtype,
            rngs=rngs,
        )
        self.spatial = spatial_transformer(config, channels_out, rngs) if attends else None
        self.temporal = temporal_transformer(config, channels_out, rngs) if attends else None
        self.upsample = (
            Upsample(channels_out, crop_rows=UP_CROP_ROWS, dtype=dtype, rngs=rngs) if up else None
        )

    def __call__(self, x: jax.Array, embedding: jax.Array, text: Text) -> jax.Array:
        """Transforms features.

        Args:
          x: features `[B, F, H, W, C]`.
          embedding: time embedding `[B, F or 1, E]`.
          text: text features `[B, L, D]`, or their keys and values.
        """
        x = self.resnet(constrain(x, VIDEO_AXES), embedding)
        if self.spatial is not None and self.temporal is not None:
            x = self.spatial(x, context_for(text, "spatial"))
            x = self.temporal(x)
        return x if self.upsample is None else self.upsample(x)


class InputBlock(nnx.Module):
    """The first block: a convolution of the latents, then a temporal transformer."""

    def __init__(self, config: UNet3DConfig, rngs: nnx.Rngs):
        self.conv = SpatialConv(config.latent_channels, config.width, dtype=config.dtype, rngs=rngs)
        inner = config.first_temporal_heads * config.head_dim
        self.temporal = temporal_transformer(config, config.width, rngs, inner=inner)

    def __call__(self, x: jax.Array, added: jax.Array | None) -> jax.Array:
        """Transforms latents `[B, F, h, w, 4]`; adds `[B, F, h, w, C]` behind the convolution."""
        x = self.conv(constrain(x, VIDEO_AXES))
        return self.temporal(x if added is None else x + added)


class MiddleBlock(nnx.Module):
    """The deepest block: two residual blocks around the transformers."""

    def __init__(self, config: UNet3DConfig, rngs: nnx.Rngs):
        channels = config.channels[-1]
        options = {"embedding_width": config.embedding_width, "dtype": config.dtype}
        self.resnet1 = VideoResBlock(channels, channels, rngs=rngs, **options)
        self.spatial = spatial_transformer(config, channels, rngs)
        self.temporal = temporal_transformer(config, channels, rngs)
        self.resnet2 = VideoResBlock(channels, channels, rngs=rngs, **options)

    def __call__(self, x: jax.Array, embedding: jax.Array, text: Text) -> jax.Array:
        """Transforms `[B, F, H, W, C]`; embedding and text are those of a `Block`."""
        x = self.resnet1(constrain(x, VIDEO_AXES), embedding)
        x = self.temporal(self.spatial(x, context_for(text, "spatial")))
        return self.resnet2(x, embedding)


class Encoder(nnx.Module):
    """The encoder: time embedding, input blocks and middle block."""

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
                blocks.append(
                    Downsample(channels, padding=DOWN_PADDING, dtype=config.dtype, rngs=rngs)
                )
        self.input_blocks = nnx.List(blocks)
        self.middle_block = MiddleBlock(config, rngs)
        self.width = config.width
        self.first_level = config.blocks_per_level + 1
        self.remat: Remat = config.remat

    def embed_time(self, t: jax.Array) -> jax.Array:
        """Embeds time steps `[B]` as `[B, 1, E]`."""
        return self.time_embedding(sinusoidal_embedding(t, self.width))[:, None]

    def __call__(
        self,
        x: jax.Array,
        embedding: jax.Array,
        text: Text,
        added: jax.Array | None = None,
        *,
        only_first_level: bool = False,
    ) -> tuple[jax.Array, ...]:
        """Computes the features of all levels.

        Args:
          x: noisy latents `[B, F, h, w, 4]`.
          embedding: time embedding `[B, F or 1, E]`.
          text: text features `[B, L, D]`, or their keys and values.
          added: features `[B, F, h, w, C]` to add behind the first convolution.
          only_first_level: whether to stop before the first downsampling.

        Returns:
          Outputs `[B, F, h', w', C']` of every input block and of the middle block; with
          `only_first_level`, of the first `self.first_level` input blocks.
        """
        outputs = []
        blocks = list(self.input_blocks)
        for i, block in enumerate(blocks[: self.first_level] if only_first_level else blocks):
            if isinstance(block, InputBlock):
                x = rematerialised(block, self.remat)(x, added)
            elif isinstance(block, Downsample):
                x = block(x)
            else:
                block_text = text_for(text, f"input_blocks.{i}")
                x = rematerialised(block, self.remat)(x, embedding, block_text)
            outputs.append(x)
        if not only_first_level:
            middle = rematerialised(self.middle_block, self.remat)
            outputs.append(middle(x, embedding, text_for(text, "middle_block")))
        return tuple(outputs)


class Head(nnx.Module):
    """The last layers: normalisation and convolution to the prediction, in float32."""

    def __init__(self, config: UNet3DConfig, rngs: nnx.Rngs):
        # In float32: the solver multiplies the rounding of the prediction by the guidance scale.
        exact = jnp.float32
        self.norm = GroupNorm(config.width, over_frames=False, epsilon=1e-5, dtype=exact, rngs=rngs)
        self.conv = SpatialConv(
            config.width, config.latent_channels, kernel_init=zeros, dtype=exact, rngs=rngs
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Computes the prediction `[B, F, h, w, 4]` float32 from features `[B, F, h, w, C]`."""
        return self.conv(nnx.silu(self.norm(x)))


class UNet3D(nnx.Module):
    """The video UNet, which predicts v from noisy latents (VEnhancer paper, section 3.1)."""

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
        text: Text,
        control: tuple[jax.Array, ...] | None = None,
    ) -> jax.Array:
        """Predicts v.

        Args:
          x: noisy latents `[B, F, h, w, 4]`; `h` is 2 and `w` is 0 modulo 8.
          t: time steps `[B]`, integers or not.
          text: text features `[B, L, D]`, or their keys and values.
          control: features of `VideoControlNet`, one array for each output of the encoder; none for
            the prior alone.

        Returns:
          v `[B, F, h, w, 4]` float32.
        """
        return self.with_deep(x, t, text, control)[0]

    def with_deep(
        self,
        x: jax.Array,
        t: jax.Array,
        text: Text,
        control: tuple[jax.Array, ...] | None = None,
        deep: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Predicts v, optionally with the deep features of an earlier call.

        Features below the first level change little from one denoising step to the next (DeepCache,
        arXiv 2312.00858).

        Args:
          x: noisy latents `[B, F, h, w, 4]`; `h` is 2 and `w` is 0 modulo 8.
          t: time steps `[B]`.
          text: text features `[B, L, D]`, or their keys and values.
          control: features of `VideoControlNet`; with `deep`, those of the first level suffice.
          deep: features `[B, F, h, w, C]` below the first level, from an earlier call; None
            computes them.

        Returns:
          v `[B, F, h, w, 4]` float32, and the features below the first level.
        """
        embedding = self.encoder.embed_time(t)
        features = self.encoder(
            x, embedding, text_for(text, "encoder"), only_first_level=deep is not None
        )
        if control:
            added = control[: len(features)]
            features = tuple(y + more for y, more in zip(features, added, strict=True))
        skips, first = list(features), len(self.output_blocks) - self.encoder.first_level
        if deep is None:
            deep = self._up(skips.pop(), skips, range(first), embedding, text)
        x = self._up(deep, skips, range(first, len(self.output_blocks)), embedding, text)
        return self.head(x), deep

    def _up(
        self, x: jax.Array, skips: list[jax.Array], blocks: range, embedding: jax.Array, text: Text
    ) -> jax.Array:
        """Runs some of the output blocks, each of which pops the last of `skips`."""
        for i in blocks:
            joined = jnp.concatenate([x, skips.pop()], axis=-1)
            block = rematerialised(self.output_blocks[i], self.remat)
            x = block(joined, embedding, text_for(text, f"output_blocks.{i}"))
        return x


def spatial_transformer(config: UNet3DConfig, channels: int, rngs: nnx.Rngs) -> SpatialTransformer:
    """Creates the spatial transformer of a config."""
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
    """Creates the temporal transformer of a config."""
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
    """Returns the output channels of every input block, in order."""
    channels = [config.width]
    for level, wide in enumerate(config.channels):
        channels += [wide] * config.blocks_per_level
        if level < len(config.channels) - 1:
            channels.append(wide)
    return channels
