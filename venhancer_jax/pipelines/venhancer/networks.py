"""The networks of VEnhancer."""

import contextlib
import dataclasses

import jax
from jax.sharding import Mesh

from venhancer_jax.diffusion.schedule import Schedule, cosine_interpolated_schedule
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures


@dataclasses.dataclass(frozen=True)
class VEnhancerNetworks:
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

    def on_mesh(self) -> contextlib.AbstractContextManager:
        """Returns a context in which work is sharded over the mesh."""
        return contextlib.nullcontext() if self.mesh is None else jax.set_mesh(self.mesh)
