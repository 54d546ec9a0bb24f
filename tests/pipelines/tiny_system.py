"""A VEnhancer of a few thousand parameters in which every condition matters."""

import functools
import zlib

import numpy as np

from venhancer_jax.models.autoencoders.vae import VAEConfig
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures
from venhancer_jax.pipelines.venhancer.system import VEnhancer


@functools.cache
def tiny_system(**changes) -> VEnhancer:
    """Two levels; 2x2 pixels to a latent; working sizes are multiples of 4 pixels.

    The second is twice as wide: a group norm of one channel a group takes out what is added to
    whole channels, which is the time step and all that comes with it.

    Made once, so that all tests share what is compiled for it.
    """
    configs = {
        "venhancer": UNet3DConfig.tiny(
            multipliers=(1, 2), blocks_per_level=1, attention_levels=(0,)
        ),
        "vae": VAEConfig.tiny(channels=(8, 16), groups=4),
        "text": ClipTextConfig.tiny().only_used(),
    }
    parts = {}
    for name, config in configs.items():
        network = catalog.build(name, config)
        parts[name] = LoadedNetwork(config, network, random_params(network))
    text = TextFeatures(configs["text"], lambda: parts["text"])
    return VEnhancer(parts["venhancer"], parts["vae"], text, **changes)


def random_params(network: FunctionalModule) -> Params:
    """Weights of unit gain and no zeros, which untrained networks have in their last layers."""
    return {name: _random(name, spec.shape) for name, spec in network.shapes.items()}


def _random(name: str, shape: tuple[int, ...]) -> np.ndarray:
    normal = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith(("scale", "mix", "mix_factor")):
        return (1 + 0.1 * normal).astype(np.float32)
    fan_in = max(1, int(np.prod(shape[:-1]))) if len(shape) > 1 else 100
    return (normal / np.sqrt(fan_in)).astype(np.float32)


def clip(frames: int, height: int = 24, width: int = 32) -> list[np.ndarray]:
    """A bright square that moves over a gradient, uint8 `[H, W, 3]` each."""
    rows, columns = np.mgrid[:height, :width]
    made = []
    for i in range(frames):
        frame = np.stack([rows * 8, columns * 6, rows + columns], axis=-1).astype(np.uint8)
        frame[4:12, 2 + 3 * i : 10 + 3 * i] = 240
        made.append(frame)
    return made
