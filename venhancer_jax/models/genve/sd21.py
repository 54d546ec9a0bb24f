"""Sizes of the image UNet of Stable Diffusion 2.1, which can sharpen key frames."""

import dataclasses

from venhancer_jax.models.upscale_a_video.config import UpscaleUNetConfig

_SIZES = UpscaleUNetConfig.sd21()


@dataclasses.dataclass(frozen=True, kw_only=True)
class SD21Config(UpscaleUNetConfig):
    """Sizes of the UNet of Stable Diffusion 2.1: 865,910,724 parameters.

    The class of the network is that of Upscale-A-Video's UNet, without temporal layers, without
    low-resolution frames, and without their noise levels.
    """

    in_channels: int = _SIZES.in_channels
    channels: tuple[int, ...] = _SIZES.channels
    attention_levels: tuple[int, ...] = _SIZES.attention_levels
    only_cross_levels: tuple[int, ...] = _SIZES.only_cross_levels
    heads: tuple[int, ...] = _SIZES.heads
    labels: int = _SIZES.labels
    temporal: bool = _SIZES.temporal

    @classmethod
    def reduced(cls, **changes) -> "SD21Config":
        """Returns the sizes of the reduced network of the recordings."""
        sizes = {"channels": (32, 64, 128, 128), "heads": (1, 2, 4, 4), "context_width": 48}
        return cls(**sizes | changes)

    @classmethod
    def tiny(cls, **changes) -> "SD21Config":
        """Returns sizes for tests and laptops."""
        sizes = {
            "channels": (32, 64),
            "blocks_per_level": 1,
            "attention_levels": (1,),
            "heads": (1, 2),
            "context_width": 16,
        }
        return cls(**sizes | changes)
