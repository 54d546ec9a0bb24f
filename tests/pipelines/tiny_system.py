"""A VEnhancer of a few thousand parameters in which every condition matters."""

import functools
import zlib

import numpy as np

from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures
from venhancer_jax.pipelines.venhancer.system import VEnhancer

# Two levels; 2x2 pixels to a latent; working sizes are multiples of 4 pixels. The second level is
# twice as wide: a group norm of one channel a group would remove what is added to whole channels,
# which is the time step and all that comes with it. Only the middle has transformers besides the
# first temporal one: more of them would double the time to compile.
CONFIGS = {
    "venhancer": UNet3DConfig.tiny(multipliers=(1, 2), blocks_per_level=1, attention_levels=()),
    "vae": VAEConfig.tiny(channels=(8, 16), groups=4),
    "text": ClipTextConfig.tiny().only_used(),
}


@functools.cache
def tiny_system(**changes) -> VEnhancer:
    """Builds the system of `CONFIGS` once, so that tests share what is compiled for it."""
    networks = {}
    for name, config in CONFIGS.items():
        network = catalog.build(name, config)
        networks[name] = LoadedNetwork(config, network, random_params(network))
    text = TextFeatures(CONFIGS["text"], lambda: networks["text"])
    return VEnhancer(networks["venhancer"], networks["vae"], text, **changes)


def random_params(network: FunctionalModule) -> Params:
    """Draws weights of unit gain, without the zeros of untrained last layers."""
    return {name: _random(name, spec.shape) for name, spec in network.shapes.items()}


def _random(name: str, shape: tuple[int, ...]) -> np.ndarray:
    normal = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith(("scale", "mix", "mix_factor")):
        return (1 + 0.1 * normal).astype(np.float32)
    fan_in = max(1, int(np.prod(shape[:-1]))) if len(shape) > 1 else 100
    return (normal / np.sqrt(fan_in)).astype(np.float32)


def clip(frames: int, height: int = 24, width: int = 32) -> list[np.ndarray]:
    """Draws a bright square that moves over a gradient, uint8 `[H, W, 3]` each."""
    rows, columns = np.mgrid[:height, :width]
    drawn = []
    for i in range(frames):
        frame = np.stack([rows * 8, columns * 6, rows + columns], axis=-1).astype(np.uint8)
        frame[4:12, 2 + 3 * i : 10 + 3 * i] = 240
        drawn.append(frame)
    return drawn
