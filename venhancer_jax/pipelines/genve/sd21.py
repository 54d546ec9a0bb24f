"""The image diffuser `sd21`: the UNet of Stable Diffusion 2.1."""

from venhancer_jax.diffusion.scheduler_config import SchedulerConfig
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.genve.image_diffuser import LatentDiffuser
from venhancer_jax.pipelines.system import LoadedNetwork


def sd21_diffuser(
    unet: LoadedNetwork, *, latent_channels: int, context_width: int, pixels: int = 8
) -> LatentDiffuser:
    """Returns the image diffuser of Stable Diffusion 2.1.

    Its latents and its text features are those of the published video prior.

    Args:
      unet: image UNet, network `sd21`.
      latent_channels: channels of the latents of the video.
      context_width: channels of the text features of the video.
      pixels: rows and columns of pixels for each latent.

    Raises:
      InputError: a UNet of other latents or another text encoder.
    """
    config = unet.config
    for name, found, expected in (
        ("latents", config.latent_channels, latent_channels),
        ("text features", config.context_width, context_width),
    ):
        if found != expected:
            raise InputError(
                f"the image UNet takes {name} of {found} channels, expected {expected}, those of"
                " the video; use reference=prior, which has the video's network"
            )
    modulus = 2 ** (len(config.channels) - 1)
    return LatentDiffuser(
        denoiser=unet,
        schedule=SchedulerConfig.sd21().schedule,
        width=config.channels[0],
        moduli=((0, modulus), (0, modulus)),
        pixels=pixels,
    )
