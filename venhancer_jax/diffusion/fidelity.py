"""Low frequencies of the clean latents, held to those of the input at every step.

The denoiser is what changes: it predicts clean latents whose low frequencies are a mix of its own
and the input's. Every solver works with it, and ends on such latents. It is linear, as the
projection of DDNM (arXiv 2212.00490, equation 13) is, with a share in place of a switch.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.solvers import Denoise

# Standard deviation of the low-pass filter in latents: what is wider is the input's. A latent
# stands for 4 to 8 pixels of the output.
SIGMA = 2.0


def hold_low_frequencies(
    denoise: Denoise,
    reference: Any,
    fidelity: float,
    apply: Callable[..., Any] = lambda function, *videos: function(*videos),
) -> Denoise:
    """Returns a denoiser whose low frequencies are those of a reference, to some share.

    Args:
      denoise: denoiser of a clip, `(x [1, F, h, w, C], t) -> x0`.
      reference: latents of the input `[1, F, h, w, C]`; None where `fidelity` is 0.
      fidelity: share of the reference in the low frequencies, from 0 (`denoise` itself) to 1.
      apply: function that applies a function of frames to latents, which need not be arrays.
    """
    if reference is None or not fidelity:
        return denoise
    wanted, hold = apply(low_pass, reference), functools.partial(_hold, share=jnp.float32(fidelity))
    return lambda x, t: apply(hold, denoise(x, t), wanted)


@jax.jit
def low_pass(x: jax.Array) -> jax.Array:
    """Blurs the rows and columns of latents `[B, F, h, w, C]` by a Gaussian of `SIGMA`."""
    rows, columns = (jnp.asarray(_gaussian_weights(side)) for side in x.shape[2:4])
    # Products of a few hundred rows; numbers of 8 bits, a TPU's default, would show.
    return jnp.einsum("Hh,Ww,bfhwc->bfHWc", rows, columns, x, precision="highest")


@functools.partial(jax.jit, donate_argnums=0)
def _hold(x0: jax.Array, wanted: jax.Array, share: jax.Array) -> jax.Array:
    return x0 + share * (wanted - low_pass(x0))


@functools.cache
def _gaussian_weights(length: int) -> np.ndarray:
    """Returns weights `[length, length]` float32 whose rows sum to 1, also at the edges."""
    distance = np.arange(length)[:, None] - np.arange(length)
    weights = np.exp(-np.square(distance / SIGMA) / 2)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
