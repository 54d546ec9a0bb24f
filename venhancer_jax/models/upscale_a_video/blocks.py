"""Blocks of Stable Diffusion's UNet, with or without temporal layers."""

import jax
import jax.numpy as jnp
from flax import nnx

from venhancer_jax.models.layers.convolutions import Downsample, Upsample
from venhancer_jax.models.layers.initializers import fan_in_normal, zeros
from venhancer_jax.models.layers.linear import Linear
from venhancer_jax.models.layers.resnet import ResBlock, TemporalResBlock
from venhancer_jax.models.layers.text_kv_cache import Text, context_for, text_for
from venhancer_jax.models.layers.transformer import SpatialTransformer
from venhancer_jax.models.remat import rematerialised
from venhancer_jax.models.upscale_a_video.config import UpscaleUNetConfig
from venhancer_jax.sharding.mesh import VIDEO_AXES, constrain

DOWN_PADDING = ((1, 1), (1, 1))
# Frames that the first convolution of a temporal module sees.
_MODULE_FRAMES = 5


class VideoTransformer(nnx.Module):
    """A transformer over the pixels of each frame, with temporal layers where configured.

    A temporal residual block comes first; a temporal attention is in the transformer.
    """

    def __init__(self, config: UpscaleUNetConfig, level: int, *, only_cross: bool, rngs: nnx.Rngs):
        channels, dtype = config.channels[level], config.dtype
        self.resnet = (
            TemporalResBlock(channels, dtype=dtype, rngs=rngs) if config.temporal else None
        )
        self.spatial = SpatialTransformer(
            channels,
            context_width=config.context_width,
            only_cross=only_cross,
            temporal_pixels_at_once=config.temporal_pixels_at_once if config.temporal else None,
            kernel_init=fan_in_normal,
            head_dim=channels // config.heads[level],
            implementation=config.attention,
            dtype=dtype,
            rngs=rngs,
        )
        self.only_cross = only_cross

    def __call__(self, x: jax.Array, text: Text) -> jax.Array:
        """Transforms features.

        Args:
          x: features `[B, F, H, W, C]`.
          text: text features `[B, L, D]`, or their keys and values.
        """
        x = x if self.resnet is None else self.resnet(x)
        first = context_for(text, "spatial.first") if self.only_cross else None
        return self.spatial(x, context_for(text, "spatial"), first)


class Block(nnx.Module):
    """A residual block, then a transformer where configured."""

    def __init__(
        self,
        config: UpscaleUNetConfig,
        channels_in: int,
        level: int,
        *,
        attends: bool,
        only_cross: bool = False,
        rngs: nnx.Rngs,
    ):
        self.resnet = residual_block(config, channels_in, config.channels[level], rngs)
        self.transformer = (
            VideoTransformer(config, level, only_cross=only_cross, rngs=rngs) if attends else None
        )

    def __call__(self, x: jax.Array, embedding: jax.Array, text: Text) -> jax.Array:
        """Transforms features.

        Args:
          x: features `[B, F, H, W, C]`.
          embedding: embedding of time and noise level `[B, 1, E]`.
          text: text features `[B, L, D]`, or their keys and values.
        """
        x = self.resnet(constrain(x, VIDEO_AXES), embedding)
        return x if self.transformer is None else self.transformer(x, text_for(text, "transformer"))


class TemporalModule(nnx.Module):
    """A temporal and a spatial residual block whose result is added; it starts at zero."""

    def __init__(self, config: UpscaleUNetConfig, channels: int, rngs: nnx.Rngs):
        dtype = config.dtype
        self.temporal = TemporalResBlock(
            channels,
            frames=_MODULE_FRAMES,
            embedding_width=config.embedding_width,
            dtype=dtype,
            rngs=rngs,
        )
        self.spatial = residual_block(config, channels, channels, rngs, epsilon=1e-6)
        self.proj_out = Linear(channels, channels, kernel_init=zeros, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        """Transforms `[B, F, H, W, C]`, conditioned on an embedding `[B, 1, E]`."""
        return x + self.residual(x, embedding)

    def residual(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        """Computes what is added to `x`."""
        y = self.temporal(constrain(x, VIDEO_AXES), embedding)
        return self.proj_out(self.spatial(y, embedding))


class DownLevel(nnx.Module):
    """A level on the way down: blocks, then a downsampling on all levels but the last."""

    def __init__(self, config: UpscaleUNetConfig, channels_in: int, level: int, rngs: nnx.Rngs):
        channels = config.channels[level]
        self.blocks = nnx.List(
            block_of(config, channels if i else channels_in, level, rngs)
            for i in range(config.blocks_per_level)
        )
        self.downsample = (
            Downsample(channels, padding=DOWN_PADDING, dtype=config.dtype, rngs=rngs)
            if level < len(config.channels) - 1
            else None
        )
        self.temporal = TemporalModule(config, channels, rngs) if config.temporal else None
        self.remat = config.remat

    def __call__(self, x: jax.Array, embedding: jax.Array, text: Text) -> list[jax.Array]:
        """Computes the output of every block and of the downsampling from `[B, F, H, W, C]`."""
        outputs = []
        for i, block in enumerate(self.blocks):
            block_text = text_for(text, f"blocks.{i}")
            x = rematerialised(block, self.remat)(x, embedding, block_text)
            outputs.append(x)
        return outputs if self.downsample is None else [*outputs, self.downsample(x)]

    def mix(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        """Applies the temporal module to the level's last output."""
        return mixed(self.temporal, self.remat, x, embedding)


class MiddleLevel(nnx.Module):
    """The deepest part: two residual blocks around a transformer."""

    def __init__(self, config: UpscaleUNetConfig, rngs: nnx.Rngs):
        last, channels = len(config.channels) - 1, config.channels[-1]
        self.block = Block(config, channels, last, attends=True, rngs=rngs)
        self.resnet = residual_block(config, channels, channels, rngs)
        self.temporal = TemporalModule(config, channels, rngs) if config.temporal else None
        self.remat = config.remat

    def __call__(self, x: jax.Array, embedding: jax.Array, text: Text) -> jax.Array:
        """Transforms `[B, F, H, W, C]`; embedding and text are those of a `Block`."""
        x = rematerialised(self.block, self.remat)(x, embedding, text_for(text, "block"))
        return rematerialised(self.resnet, self.remat)(x, embedding)

    def mix(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        """Applies the temporal module to the result."""
        return mixed(self.temporal, self.remat, x, embedding)


class UpLevel(nnx.Module):
    """A level on the way up: blocks that take skips, then an upsampling on all but the last."""

    def __init__(
        self,
        config: UpscaleUNetConfig,
        channels_in: int,
        skips: list[int],
        level: int,
        rngs: nnx.Rngs,
    ):
        channels = config.channels[level]
        self.blocks = nnx.List(
            block_of(config, (channels if i else channels_in) + skip, level, rngs)
            for i, skip in enumerate(skips)
        )
        self.upsample = Upsample(channels, dtype=config.dtype, rngs=rngs) if level > 0 else None
        self.temporal = TemporalModule(config, channels, rngs) if config.temporal else None
        self.remat = config.remat

    def __call__(
        self, x: jax.Array, skips: list[jax.Array], embedding: jax.Array, text: Text
    ) -> jax.Array:
        """Transforms features.

        Args:
          x: features `[B, F, H, W, C]`.
          skips: outputs of the way down; the last ones are removed, one for each block.
          embedding: embedding of time and noise level `[B, 1, E]`.
          text: text features `[B, L, D]`, or their keys and values.
        """
        for i, block in enumerate(self.blocks):
            joined = jnp.concatenate([x, skips.pop()], axis=-1)
            block_text = text_for(text, f"blocks.{i}")
            x = rematerialised(block, self.remat)(joined, embedding, block_text)
        if self.upsample is None:
            return x
        # Half of an odd size, doubled, has one row or column more.
        _, _, rows, columns, _ = skips[-1].shape
        return self.upsample(x, (rows, columns))

    def mix(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        """Applies the temporal module to the result."""
        return mixed(self.temporal, self.remat, x, embedding)


def residual_block(
    config: UpscaleUNetConfig,
    channels_in: int,
    channels_out: int,
    rngs: nnx.Rngs,
    *,
    epsilon: float = 1e-5,
) -> ResBlock:
    """Creates a residual block whose normalisations see all frames of a video UNet."""
    return ResBlock(
        channels_in,
        channels_out,
        embedding_width=config.embedding_width,
        over_frames=config.temporal,
        epsilon=epsilon,
        dtype=config.dtype,
        rngs=rngs,
    )


def block_of(config: UpscaleUNetConfig, channels_in: int, level: int, rngs: nnx.Rngs) -> Block:
    """Creates a block of a level."""
    return Block(
        config,
        channels_in,
        level,
        attends=level in config.attention_levels,
        only_cross=level in config.only_cross_levels,
        rngs=rngs,
    )


def mixed(
    module: TemporalModule | None, remat: str, x: jax.Array, embedding: jax.Array
) -> jax.Array:
    """Applies a temporal module, if there is one."""
    return x if module is None else rematerialised(module, remat)(x, embedding)
