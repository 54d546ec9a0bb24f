"""Options of Upscale-A-Video."""

import dataclasses

from venhancer_jax.pipelines.options import EnhanceOptions, WeightOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class UpscaleAVideoOptions(EnhanceOptions):
    """Options of an enhancement by Upscale-A-Video.

    Raises:
      InputError: a value has the wrong type, is out of range, or contradicts another.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class UpscaleAVideoWeights(WeightOptions):
    """Networks of Upscale-A-Video: UNet, VAE, text encoder and optical flow."""
