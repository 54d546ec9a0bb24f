"""From the network's prediction to the clean latents: guidance, rescale, v to x0."""

import jax
import jax.numpy as jnp


def guide(
    conditional: jax.Array,
    unconditional: jax.Array,
    scale: jax.Array | float,
    rescale: jax.Array | float,
) -> jax.Array:
    """Classifier-free guidance that keeps part of the conditional prediction's contrast.

    Args:
      conditional: prediction for the prompt, `[B, F, h, w, C]`.
      unconditional: prediction for the negative prompt.
      scale: 1 gives the conditional prediction back.
      rescale: 0 to 1, how far the standard deviation of each video is pulled back to that of the
        conditional prediction.

    Returns:
      `[B, F, h, w, C]`.
    """
    guided = unconditional + scale * (conditional - unconditional)
    gain = _std(conditional) / (_std(guided) + 1e-12)
    return guided * (rescale * gain + (1 - rescale))


def v_to_x0(
    x: jax.Array, v: jax.Array, alpha: jax.Array | float, sigma: jax.Array | float
) -> jax.Array:
    """Clean latents from noisy ones and a v-prediction (paper, section 3.1)."""
    return alpha * x - sigma * v


def clamp_percentile(x0: jax.Array, percentile: float) -> jax.Array:
    """Dynamic thresholding: clips each video at a percentile of its magnitude and divides by it.

    Args:
      x0: `[B, ...]`.
      percentile: in (0, 1]; magnitudes below 1 are left alone.
    """
    limit = jnp.quantile(jnp.abs(x0.reshape(x0.shape[0], -1)), percentile, axis=1)
    limit = jnp.maximum(limit, 1).reshape(-1, *(1,) * (x0.ndim - 1))
    return jnp.clip(x0, -limit, limit) / limit


def _std(x: jax.Array) -> jax.Array:
    """Unbiased standard deviation of each video, `[B, 1, ...]`."""
    return x.std(axis=tuple(range(1, x.ndim)), ddof=1, keepdims=True)
