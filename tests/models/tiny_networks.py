"""The networks that the tests of this folder share, each compiled once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from pipelines.tiny_system import random_params

from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.layers.text_kv_cache import TextKVCache, compute_text_kv
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines import catalog

# Two channels per group: a norm of one channel per group removes the time embedding.
CONFIG = UNet3DConfig.tiny(
    width=64, blocks_per_level=1, multipliers=(1,), attention_levels=(0,), context_width=16
)
SHAPE = (1, 3, 6, 4, 4)


def normal(seed: int, *shape: int) -> np.ndarray:
    """Draws standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


X, T, TEXT = normal(0, *SHAPE), np.array([500], np.int32), normal(1, 1, 5, CONFIG.context_width)
CONDITIONS = {
    "hint": normal(2, 1, 2, *SHAPE[2:]),
    "hint_t": np.array([199], np.int32),
    "scale": np.array([4.0], np.float32),
    "key_index": np.array([[0, -1, 1]], np.int32),
}


@functools.cache
def controlled() -> tuple[FunctionalModule, Params]:
    """Returns UNet and ControlNet, and parameters under which every input matters."""
    network = catalog.build("venhancer", CONFIG)
    return network, {name: jnp.asarray(x) for name, x in random_params(network).items()}


@functools.partial(jax.jit, static_argnums=0)
def call(network: FunctionalModule, params: Params, x, t, text, conditions) -> jax.Array:
    """Predicts v from text features; compiled once for all calls of equal networks and shapes."""
    return network(params, x, t, text, **conditions)


@functools.partial(jax.jit, static_argnums=0)
def text_kv(network: FunctionalModule, params: Params, text: jax.Array) -> TextKVCache:
    """Projects the text to keys and values."""
    return compute_text_kv(network.bind(params), text)


def distance(x: jax.Array, expected: jax.Array) -> float:
    """Computes the relative error in the L2 norm."""
    return float(jnp.linalg.norm(x - expected) / jnp.linalg.norm(expected))
