"""Sizes of Stable Diffusion's UNet, with or without the layers that make it a video UNet."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from venhancer_jax.models.layers.attention import Implementation
from venhancer_jax.models.remat import Remat


@dataclasses.dataclass(frozen=True, kw_only=True)
class UpscaleUNetConfig:
    """Sizes of the UNet of Upscale-A-Video, and of the image UNets that it can start from.

    Attributes:
      in_channels: channels of the input: noisy latents, then the low-resolution frames.
      latent_channels: channels of the prediction.
      channels: channels of each of two or more levels; those of the first are also the width of the
        sinusoidal features of the time.
      blocks_per_level: residual blocks of each level on the way down (one more on the way up).
      attention_levels: levels whose blocks have transformers; the middle always has one.
      only_cross_levels: levels whose transformers attend to the text twice, not to the pixels.
      heads: attention heads of each level; the middle has those of the last.
      context_width: channels of the text features.
      labels: rows of the table of noise levels; 0 for a network without noise levels.
      temporal: whether the layers of the video UNet exist: temporal residual blocks and attention
        in each transformer, temporal modules behind each level, normalisations over all frames.
      attention: implementation of attention.
      temporal_pixels_at_once: most pixels in a chunk of a temporal attention.
      remat: rematerialisation policy of every block, a name of `models.remat`.
      dtype: type of activations and weights; statistics and the last convolution are float32.
    """

    in_channels: int = 7
    latent_channels: int = 4
    channels: tuple[int, ...] = (256, 512, 512, 1024)
    blocks_per_level: int = 2
    attention_levels: tuple[int, ...] = (1, 2, 3)
    only_cross_levels: tuple[int, ...] = (0, 1, 2)
    heads: tuple[int, ...] = (8, 8, 8, 8)
    context_width: int = 1024
    labels: int = 1000
    temporal: bool = True
    attention: Implementation = "auto"
    temporal_pixels_at_once: int = 4096
    remat: Remat = "none"
    dtype: DTypeLike = jnp.float32

    @classmethod
    def upscale_a_video(cls, **changes) -> "UpscaleUNetConfig":
        """Returns the sizes of the published network: 691,036,420 parameters."""
        return cls(**changes)

    @classmethod
    def x4_upscaler(cls, **changes) -> "UpscaleUNetConfig":
        """Returns the sizes of Stable Diffusion's x4 upscaler: 473,398,020 parameters."""
        return cls(**{"temporal": False, **changes})

    @classmethod
    def sd21(cls, **changes) -> "UpscaleUNetConfig":
        """Returns the sizes of Stable Diffusion 2.1: 865,910,724 parameters."""
        sizes: dict[str, Any] = {
            "in_channels": 4,
            "channels": (320, 640, 1280, 1280),
            "attention_levels": (0, 1, 2),
            "only_cross_levels": (),
            "heads": (5, 10, 20, 20),
            "labels": 0,
            "temporal": False,
        }
        return cls(**sizes | changes)

    @classmethod
    def reduced(cls, **changes) -> "UpscaleUNetConfig":
        """Returns the sizes of the reduced network of the recordings."""
        sizes: dict[str, Any] = {
            "channels": (32, 64, 64, 128),
            "heads": (2, 2, 2, 2),
            "context_width": 48,
        }
        return cls(**sizes | changes)

    @classmethod
    def tiny(cls, **changes) -> "UpscaleUNetConfig":
        """Returns sizes for tests and laptops."""
        sizes: dict[str, Any] = {
            "channels": (32, 64),
            "blocks_per_level": 1,
            "attention_levels": (1,),
            "only_cross_levels": (1,),
            "heads": (1, 2),
            "context_width": 16,
        }
        return cls(**sizes | changes)

    @property
    def embedding_width(self) -> int:
        """Returns the channels of the time embedding."""
        return 4 * self.channels[0]

    def smallest_inputs(self) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns noisy latents `[1, 1, h, w, C]` of the least size, and conditions for them."""
        side = 2 ** (len(self.channels) - 1)
        latents = jnp.zeros((1, 1, side, side, self.latent_channels))
        conditions = {}
        if seen := self.in_channels - self.latent_channels:
            conditions["low_res"] = jnp.zeros((1, 1, side, side, seen))
        if self.labels:
            conditions["label"] = jnp.ones(1, int)
        return latents, conditions
