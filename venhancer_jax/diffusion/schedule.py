"""Noise schedules by name: signal and noise levels at each of 1,000 time steps."""

import dataclasses
import functools
import importlib.resources
import math

import jax
import numpy as np

from venhancer_jax.errors import InputError

STEPS = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """Signal and noise levels, `x_t = alpha_t x_0 + sigma_t noise` (VEnhancer paper, equation 1).

    Attributes:
      alphas: signal levels `[1000]` float32, falling; the last one is 0 with zero terminal SNR.
      sigmas: noise levels `[1000]` float32, rising; the last one is 1 with zero terminal SNR.
      log_edm_sigmas: logarithms `[1000]` float32 of sigma / alpha, the noise level of the EDM
        paper (arXiv 2206.00364); the last one is infinite with zero terminal SNR.
    """

    alphas: np.ndarray
    sigmas: np.ndarray
    log_edm_sigmas: np.ndarray

    @classmethod
    def of(cls, alphas: np.ndarray, sigmas: np.ndarray) -> "Schedule":
        """Creates the schedule of signal levels and noise levels."""
        with np.errstate(divide="ignore"):
            return cls(alphas, sigmas, np.log(sigmas / alphas))

    def add_noise(self, x: jax.Array, noise: jax.Array, t: int) -> jax.Array:
        """Computes `alpha_t x + sigma_t noise` at one integer time `t` from 0 to 999."""
        return self.alphas[t] * x + self.sigmas[t] * noise

    def edm_sigma(self, t: np.ndarray) -> np.ndarray:
        """Computes sigma / alpha at times in [0, 999], interpolating its logarithm."""
        t = np.asarray(t, np.float32)
        low, high = np.floor(t).astype(int), np.ceil(t).astype(int)
        w = t - low.astype(np.float32)
        with np.errstate(invalid="ignore"):
            log = (1 - w) * self.log_edm_sigmas[low] + w * self.log_edm_sigmas[high]
        return np.exp(np.where(np.isfinite(log), log, np.inf)).astype(np.float32)

    def time(self, edm_sigma: np.ndarray) -> np.ndarray:
        """Computes float32 times in [0, 999] from noise levels, the inverse of `edm_sigma`."""
        with np.errstate(divide="ignore"):
            log = np.log(np.asarray(edm_sigma, np.float32))
        low = np.clip(np.searchsorted(self.log_edm_sigmas, log, side="right") - 1, 0, STEPS - 2)
        start, end = self.log_edm_sigmas[low], self.log_edm_sigmas[low + 1]
        with np.errstate(invalid="ignore"):
            w = np.clip((start - log) / (start - end), 0, 1)
        t = (1 - w) * low + w * (low + 1)
        return np.where(log == np.inf, STEPS - 1, t).astype(np.float32)


@functools.cache
def cosine_interpolated_schedule() -> Schedule:
    """Returns the schedule of the published prior.

    Its sigmas are `cosine_interpolated_sigmas()`, read from a table: the float32 rounding of the
    reference implementation grows to 1e-5 in sigma / alpha near the end and to some percent of the
    noise at the beginning, and depends on the order of its operations.
    """
    with (
        importlib.resources.files("venhancer_jax.diffusion")
        .joinpath("schedule.npy")
        .open("rb") as file
    ):
        return Schedule.of(*np.load(file))


@functools.cache
def scaled_linear_schedule(beta_start: float = 1e-4, beta_end: float = 0.02) -> Schedule:
    """Returns the schedule whose noise per step grows as the square of a line.

    Args:
      beta_start: variance of the noise that the first step adds, above 0.
      beta_end: variance of the noise that the last step adds, below 1.
    """
    products = scaled_linear_alphas_cumprod(beta_start, beta_end)
    return Schedule.of(np.sqrt(products), np.sqrt(1 - products))


def scaled_linear_alphas_cumprod(beta_start: float = 1e-4, beta_end: float = 0.02) -> np.ndarray:
    """Computes the products of 1 - beta, where the roots of beta are evenly spaced.

    At the clean end a difference of 1e-7 in a product is one of a thousandth in the noise level, so
    the rounding is that of PyTorch: the line is counted from both ends, with one rounding per
    number, and the product is accumulated in float64.

    Args:
      beta_start: variance of the noise that the first step adds, above 0.
      beta_end: variance of the noise that the last step adds, below 1.

    Returns:
      Squared signal levels `[1000]` float32, falling.
    """
    start, end = np.float32(math.sqrt(beta_start)), np.float32(math.sqrt(beta_end))
    stride = float((end - start) / np.float32(STEPS - 1))
    i = np.arange(STEPS)
    roots = np.where(i < STEPS // 2, start + stride * i, end - stride * (STEPS - 1 - i))
    betas = np.square(roots.astype(np.float32))
    return np.cumprod(1 - betas, dtype=np.float64).astype(np.float32)


def cosine_interpolated_sigmas(
    *,
    logsnr_min: float = -15.0,
    logsnr_max: float = 15.0,
    scale_min: float = 2.0,
    scale_max: float = 4.0,
) -> np.ndarray:
    """Computes noise levels of a cosine log-SNR shifted by frame size, with zero terminal SNR.

    Args:
      logsnr_min: log-SNR of the cosine schedule at the noisy end.
      logsnr_max: log-SNR of the cosine schedule at the clean end.
      scale_min: size of the frames relative to that of the cosine schedule, at the noisy end.
      scale_max: size of the frames relative to that of the cosine schedule, at the clean end.

    Returns:
      Noise levels `[1000]` float64, the last one 1: the stretch to zero SNR is affine in sigma, not
      in alpha.
    """
    u = np.linspace(1, 0, STEPS)
    start, end = math.atan(math.exp(logsnr_max / 2)), math.atan(math.exp(logsnr_min / 2))
    cosine = -2 * np.log(np.tan(start + u * (end - start)))
    at_min, at_max = cosine - 2 * math.log(scale_min), cosine - 2 * math.log(scale_max)
    sigma = np.sqrt(1 / (1 + np.exp(u * at_min + (1 - u) * at_max)))
    return sigma[0] + (1 - sigma[0]) / (sigma[-1] - sigma[0]) * (sigma - sigma[0])


SCHEDULES = {
    "cosine_interpolated": cosine_interpolated_schedule,
    "scaled_linear": scaled_linear_schedule,
}


def named_schedule(name: str) -> Schedule:
    """Returns a schedule by its name, a key of `SCHEDULES`.

    Raises:
      InputError: unknown name.
    """
    if name not in SCHEDULES:
        raise InputError(f"noise schedule {name!r}: expected one of {', '.join(SCHEDULES)}")
    return SCHEDULES[name]()
