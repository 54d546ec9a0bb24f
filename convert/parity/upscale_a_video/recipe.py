"""Weights of the recordings, regenerated from their names."""

import math
from collections.abc import Sequence

import numpy as np

from venhancer_jax.convert.parity.recipe import normal

_HALF_GAIN = (
    "class_embedding.weight",
    "relative_attention_bias.weight",
    "token_embedding.weight",
    "position_embedding.weight",
)


def weight(name: str, shape: Sequence[int]) -> np.ndarray:
    """Generates a tensor of a state dict from its name.

    Args:
      name: key of the state dict, after the prefix of the recording.
      shape: shape in the layout of PyTorch.

    Returns:
      float32 tensor: matrices and kernels of unit gain, tables of embeddings of scale 0.5, vectors
      named weight and variances near 1, other vectors of scale 0.02.
    """
    draw, small = normal(name, shape), np.float32(0.02)
    last = name.rsplit(".", 1)[-1]
    if last == "running_var":
        return 1 + small * np.abs(draw)
    if last == "running_mean":
        return small * draw
    if len(shape) >= 2:
        if name.endswith(_HALF_GAIN):
            return np.float32(0.5) * draw
        return draw * np.float32(1 / math.sqrt(math.prod(shape[1:])))
    return 1 + small * draw if last == "weight" else small * draw
