"""Weights and inputs regenerated from names, so that recordings need not store them."""

import math
import zlib
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from venhancer_jax.convert.rules import Entry
from venhancer_jax.models.functional import Params

# Function from the name and shape of a tensor to its values.
Weight = Callable[[str, Sequence[int]], np.ndarray]


def normal(name: str, shape: Sequence[int]) -> np.ndarray:
    """Generates standard normal float32 numbers from a name.

    Args:
      name: name that seeds the generator.
      shape: shape of the result.
    """
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    return generator.standard_normal(tuple(shape), dtype=np.float32)


def weight(name: str, shape: Sequence[int]) -> np.ndarray:
    """Generates a tensor of a state dict from its name.

    Args:
      name: key of the state dict, after the prefix of the recording.
      shape: shape in the layout of PyTorch.

    Returns:
      float32 tensor: matrices and kernels of unit gain, biases of scale 0.05, other
      vectors near 1.
    """
    draw = normal(name, shape)
    if len(shape) >= 2:
        return draw * np.float32(1 / math.sqrt(math.prod(shape[1:])))
    if name.endswith("bias"):
        return draw * np.float32(0.05)
    if name.endswith("mix_factor"):
        return draw
    return np.float32(1) + np.float32(0.1) * draw


def params(entries: list[Entry], prefix: str = "", weight: Weight = weight) -> Params:
    """Generates the parameters of a network one by one.

    Args:
      entries: tensors of each parameter.
      prefix: start of the names of the tensors in the recipe.
      weight: recipe of the system.
    """
    return {
        e.ours: jnp.asarray(e.from_torch([weight(prefix + n, e.their_shape) for n in e.theirs]))
        for e in entries
    }
