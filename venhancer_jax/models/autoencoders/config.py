"""Sizes of the VAE."""

import dataclasses

import jax.numpy as jnp
from jax.typing import DTypeLike

from venhancer_jax.models.layers.attention import Implementation
from venhancer_jax.models.remat import Remat


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """Sizes of the VAE.

    Attributes:
      latent_channels: channels of the latents.
      channels: channels of each level, from pixels to latents.
      blocks_per_level: residual blocks of each level of the encoder (one more in the decoder).
      groups: groups of every normalisation.
      scaling_factor: factor from raw latents to latents of about unit variance.
      patch_shortcut: whether a linear map bypasses the convolutions of encoder and decoder, which
        then start at zero.
      mid_attention: whether the deepest level attends over the pixels of a frame.
      temporal_decoder: whether the frames of a call are decoded together; otherwise each is
        decoded by itself, after `post_quant_conv`.
      norm_over_frames: whether normalisations have statistics of all frames of a call, but those
        of attentions; otherwise of single frames.
      condition_channels: channels of the decoder's branch that sees low-resolution frames of the
        size of the latents, and whose residual blocks have 3-D convolutions; 0 without it.
      attention: implementation of attention.
      remat: rematerialisation policy of the decoder's blocks, a name of `models.remat`.
      dtype: type of the decoder's activations and weights; statistics, the last convolutions and
        their activations are float32.
      encoder_dtype: type of the encoder's activations and weights.
    """

    latent_channels: int = 4
    channels: tuple[int, ...] = (128, 256, 512, 512)
    blocks_per_level: int = 2
    groups: int = 32
    scaling_factor: float = 0.18215
    patch_shortcut: bool = False
    mid_attention: bool = True
    temporal_decoder: bool = True
    norm_over_frames: bool = False
    condition_channels: int = 0
    attention: Implementation = "auto"
    remat: Remat = "none"
    dtype: DTypeLike = jnp.float32
    encoder_dtype: DTypeLike = jnp.float32

    @classmethod
    def svd(cls, **changes) -> "VAEConfig":
        """The VAE of Stable Video Diffusion: 97,742,847 parameters."""
        return cls(**changes)

    @classmethod
    def sd21(cls, **changes) -> "VAEConfig":
        """The VAE of Stable Diffusion 2.1: 83,653,863 parameters."""
        return dataclasses.replace(cls(temporal_decoder=False), **changes)

    @classmethod
    def x4_image(cls, **changes) -> "VAEConfig":
        """The VAE of the Stable Diffusion x4 upscaler, frames normalised together: 55,325,927."""
        sizes = cls(
            channels=(128, 256, 512),
            scaling_factor=0.08333,
            temporal_decoder=False,
            norm_over_frames=True,
        )
        return dataclasses.replace(sizes, **changes)

    @classmethod
    def x4_video(cls, **changes) -> "VAEConfig":
        """The VAE of Upscale-A-Video whose decoder sees the input: 113,776,365 parameters."""
        return dataclasses.replace(cls.x4_image(condition_channels=128), **changes)

    @classmethod
    def tiny(cls, **changes) -> "VAEConfig":
        """The VAE with the temporal decoder, small enough for a laptop's processor."""
        tiny = cls(channels=(16, 32, 32, 32), blocks_per_level=1, groups=8)
        return dataclasses.replace(tiny, **changes)

    @classmethod
    def demo(cls, **changes) -> "VAEConfig":
        """The VAE of the model that ships with the package: four pixels to a latent of 16."""
        demo = cls(
            latent_channels=16,
            channels=(24, 40, 64),
            blocks_per_level=1,
            groups=8,
            patch_shortcut=True,
            mid_attention=False,
            temporal_decoder=False,
        )
        return dataclasses.replace(demo, **changes)

    @property
    def pixels_per_latent(self) -> int:
        """Returns height and width of a latent in pixels, of which frame sizes are multiples."""
        return 2 ** (len(self.channels) - 1)
