"""The networks of Upscale-A-Video."""

import dataclasses

from jax.sharding import Mesh

from venhancer_jax.diffusion.schedule import Schedule, scaled_linear_schedule
from venhancer_jax.diffusion.scheduler_config import SchedulerConfig
from venhancer_jax.pipelines.on_mesh import OnMesh
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures


@dataclasses.dataclass(frozen=True)
class UpscaleAVideoNetworks(OnMesh):
    """Denoiser, VAE, text encoder and optical flow, and the devices that they run on.

    Attributes:
      denoiser: UNet, which predicts v.
      vae: autoencoder between pixels and latents, of which the decoder is used.
      text: features of prompts.
      raft: optical flow; None without its weights.
      scheduler: noise levels and time steps of the denoiser.
      low_res_schedule: noise levels of the low-resolution frames.
      mesh: devices to use together; None for one device.
    """

    denoiser: LoadedNetwork
    vae: LoadedNetwork
    text: TextFeatures
    raft: LoadedNetwork | None = None
    scheduler: SchedulerConfig = dataclasses.field(default_factory=SchedulerConfig)
    low_res_schedule: Schedule = dataclasses.field(default_factory=scaled_linear_schedule)
    mesh: Mesh | None = None
