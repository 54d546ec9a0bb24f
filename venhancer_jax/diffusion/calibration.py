"""Calibration of an image's latents while it is denoised (GenVE paper, equation 3).

After each step the latents are mixed with those of the original picture, noised to the level that
the step has reached. Early steps keep the picture's content and layout, late ones are free to
synthesise texture.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from venhancer_jax.diffusion.noise import NoiseSource
from venhancer_jax.diffusion.schedule import Schedule
from venhancer_jax.diffusion.solvers import Adjust

STREAM = "calibration"


def calibration_weights(times: Sequence[int] | np.ndarray, start: int) -> np.ndarray:
    """Computes the share gamma of the original picture at some times.

    The paper only says that gamma is a cosine function of the time that falls from 0.5 to 0: this
    is half a period, 0.25 (1 - cos(pi t / start)), flat at both ends.

    Args:
      times: time steps in [0, start].
      start: time step at which the denoising starts, above 0.

    Returns:
      Shares of the shape of `times`, float32: 0.5 at `start`, 0 at time 0.
    """
    return (0.25 * (1 - np.cos(np.pi * np.asarray(times, np.float64) / start))).astype(np.float32)


def calibrate(
    original: jax.Array,
    schedule: Schedule,
    times: Sequence[int] | np.ndarray,
    noise: NoiseSource,
    weights: Callable[[np.ndarray, int], np.ndarray] = calibration_weights,
) -> Adjust:
    """Returns the function that calibrates the latents after each step of DDIM.

    Latents after the last step are clean and stay as they are.

    Args:
      original: latents of the picture `[B, F, h, w, C]`.
      schedule: noise schedule of the network.
      times: integer time steps `[T]` of the solver, falling.
      noise: source of the noise on the original, fresh in each step.
      weights: function from time steps and the first of them to the shares of the original.

    Returns:
      `(x, i) -> x`: the latents `[B, F, h, w, C]` that step `i` has computed, calibrated.
    """
    shares = weights(np.asarray(times), int(times[0]))

    def adjust(x: jax.Array, i: int) -> jax.Array:
        if i + 1 == len(times):
            return x
        fresh = noise(STREAM, i, x.shape)
        noised = schedule.add_noise(original, fresh, int(times[i + 1]))
        share = np.float32(shares[i + 1])
        return (1 - share) * x + share * noised

    return adjust
