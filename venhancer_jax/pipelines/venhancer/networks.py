"""The networks of VEnhancer."""

import dataclasses

from jax.sharding import Mesh

from venhancer_jax.diffusion.schedule import Schedule, cosine_interpolated_schedule
from venhancer_jax.pipelines.on_mesh import OnMesh
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures


@dataclasses.dataclass(frozen=True)
class VEnhancerNetworks(OnMesh):
    """Denoiser, VAE and text encoder, and the devices that they run on.

    Attributes:
      denoiser: UNet and ControlNet, which predict v.
      vae: autoencoder between pixels and latents.
      text: features of prompts.
      schedule: noise levels of the denoiser.
      mesh: devices to use together; None for one device.
    """

    denoiser: LoadedNetwork
    vae: LoadedNetwork
    text: TextFeatures
    schedule: Schedule = dataclasses.field(default_factory=cosine_interpolated_schedule)
    mesh: Mesh | None = None
