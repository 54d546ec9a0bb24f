"""An Upscale-A-Video of a few thousand parameters in which every condition matters."""

import functools
from typing import Any

from pipelines.tiny_system import random_params

from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.raft.raft import RaftConfig
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.models.upscale_a_video.config import UpscaleUNetConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures
from venhancer_jax.pipelines.upscale_a_video.system import UpscaleAVideo

TEXT = ClipTextConfig.tiny().only_used()
CONFIGS: dict[str, Any] = {
    "upscale_a_video": UpscaleUNetConfig.tiny(context_width=TEXT.width),
    "vae": VAEConfig.x4_video(
        channels=(8, 8, 16), blocks_per_level=1, groups=4, condition_channels=8
    ),
    "text": TEXT,
    "raft": RaftConfig.tiny(),
}


@functools.cache
def tiny_upscaler(**changes) -> UpscaleAVideo:
    """Builds the system of `CONFIGS` once, so that tests share what is compiled for it."""
    networks = {}
    for name, config in CONFIGS.items():
        network = catalog.build(name, config)
        networks[name] = LoadedNetwork(config, network, random_params(network))
    text = TextFeatures(TEXT, lambda: networks["text"])
    return UpscaleAVideo(
        networks["upscale_a_video"], networks["vae"], text, networks["raft"], **changes
    )
