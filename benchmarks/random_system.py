"""Systems and networks with random weights, for benchmarks of several systems."""

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from benchmarks.measure import random_params
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.pipelines.config import mesh_of, system_of, weights_of
from venhancer_jax.pipelines.networks import compute_dtype
from venhancer_jax.pipelines.registry import find_system
from venhancer_jax.pipelines.system import LoadedNetwork, System
from venhancer_jax.pipelines.text import TextFeatures


def random_system(
    config: ConfigDict, draw: Callable[[FunctionalModule], Params] = random_params
) -> System:
    """Builds the system of a config with random weights.

    Args:
      config: enhancement config, whose preset sets the sizes.
      draw: function from a network to its parameters, which get the types of the config.
    """
    spec = find_system(system_of(config))
    weights = dataclasses.replace(weights_of(config), dtype=compute_dtype(config.dtype).name)
    system: Any = spec.load_abstract(weights, mesh=mesh_of(config))

    def filled(network: LoadedNetwork) -> LoadedNetwork:
        draws = draw(network.network)
        params = {n: draws[n].astype(x.dtype) for n, x in network.params.items()}
        return dataclasses.replace(network, params=params)

    changes: dict[str, Any] = {}
    for field in dataclasses.fields(system):
        value = getattr(system, field.name)
        if isinstance(value, LoadedNetwork):
            changes[field.name] = filled(value)
        elif isinstance(value, TextFeatures):
            encoder = filled(value.load())
            changes[field.name] = TextFeatures(value.config, lambda encoder=encoder: encoder)
    return dataclasses.replace(system, **changes)


def unit_gain_params(network: FunctionalModule) -> Params:
    """Draws weights that keep the size of what passes, without the zeros of untrained layers.

    A weight depends on its name and shape alone.
    """
    return {name: jnp.asarray(_drawn(name, spec.shape)) for name, spec in network.shapes.items()}


def _drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    normal = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith(("scale", "mix", "mix_factor")):
        return (1 + 0.1 * normal).astype(np.float32)
    # Biases are small beside what they are added to.
    fan_in = max(1, int(np.prod(shape[:-1]))) if len(shape) > 1 else 100
    return (normal / np.sqrt(fan_in)).astype(np.float32)
