"""The training objective."""

import jax
import jax.numpy as jnp


def v_target(
    x0: jax.Array, noise: jax.Array, alpha: jax.Array | float, sigma: jax.Array | float
) -> jax.Array:
    """What the network shall predict: `v = alpha noise - sigma x0` (paper, section 3.1)."""
    return alpha * noise - sigma * x0


def v_loss(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean squared error over all elements (paper, equation 2)."""
    return jnp.mean(jnp.square(prediction - target))
