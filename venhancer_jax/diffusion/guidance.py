"""Classifier-free guidance, rescaling, and clean latents from predictions of a network."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def guide(
    conditional: jax.Array,
    unconditional: jax.Array,
    scale: jax.Array | float,
    rescale: jax.Array | float,
) -> jax.Array:
    """Applies classifier-free guidance with rescaling (arXiv 2305.08891, section 3.4).

    Args:
      conditional: prediction for the prompt, `[B, F, h, w, C]`.
      unconditional: prediction for the negative prompt, `[B, F, h, w, C]`.
      scale: guidance scale; 1 returns the conditional prediction.
      rescale: share from 0 to 1 by which the standard deviation of each video is moved to that of
        the conditional prediction.

    Returns:
      Guided prediction `[B, F, h, w, C]`.
    """
    guided = unconditional + scale * (conditional - unconditional)
    gain = _std(conditional) / (_std(guided) + 1e-12)
    return guided * (rescale * gain + (1 - rescale))


def v_to_x0(
    x: jax.Array, v: jax.Array, alpha: jax.Array | float, sigma: jax.Array | float
) -> jax.Array:
    """Computes clean latents from noisy latents and a v-prediction (paper, section 3.1)."""
    return alpha * x - sigma * v


def v_to_noise(
    x: jax.Array, v: jax.Array, alpha: jax.Array | float, sigma: jax.Array | float
) -> jax.Array:
    """Computes the noise in noisy latents from a v-prediction (arXiv 2202.00512, appendix D)."""
    return alpha * v + sigma * x


def noise_to_x0(
    x: jax.Array, noise: jax.Array, alpha: jax.Array | float, sigma: jax.Array | float
) -> jax.Array:
    """Computes clean latents from noisy latents and a prediction of their noise."""
    return (x - sigma * noise) / alpha


# Functions `(x, prediction, alpha, sigma) -> x0` by what a network predicts, as diffusers names it.
PREDICTIONS: dict[str, Callable[..., jax.Array]] = {
    "v_prediction": v_to_x0,
    "epsilon": noise_to_x0,
    "sample": lambda x, x0, alpha, sigma: x0,
}


def clamp_percentile(x0: jax.Array, percentile: float) -> jax.Array:
    """Clips each video at a percentile of its magnitude and divides by it (dynamic thresholding).

    Args:
      x0: clean latents `[B, ...]`.
      percentile: percentile in (0, 1]; its magnitude counts as 1 if it is less.
    """
    limit = jnp.quantile(jnp.abs(x0.reshape(x0.shape[0], -1)), percentile, axis=1)
    limit = jnp.maximum(limit, 1).reshape(-1, *(1,) * (x0.ndim - 1))
    return jnp.clip(x0, -limit, limit) / limit


def _std(x: jax.Array) -> jax.Array:
    """Computes the unbiased standard deviation of each video, `[B, 1, ...]`."""
    return x.std(axis=tuple(range(1, x.ndim)), ddof=1, keepdims=True)
