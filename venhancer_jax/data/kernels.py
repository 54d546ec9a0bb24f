"""Blur kernels of real-world degradations (Wang et al. 2021, Real-ESRGAN, section 3)."""

import numpy as np
from scipy import special

# Shares in RealBasicVSR: iso, aniso, generalised iso, aniso, plateau iso, aniso, sinc.
_KINDS = (0.405, 0.225, 0.108, 0.027, 0.108, 0.027, 0.1)
_SINC = 6
_SIZES = tuple(range(7, 22, 2))


def random_kernel(
    rng: np.random.Generator, sigma: tuple[float, float], *, sinc: bool = True
) -> np.ndarray:
    """Samples a kernel of random kind, size and shape.

    Args:
      rng: random generator.
      sigma: smallest and largest standard deviation in pixels.
      sinc: whether low-pass filters that ring are among the kinds.

    Returns:
      Weights `[k, k]` float64 of sum 1, k odd from 7 to 21.
    """
    shares = np.array(_KINDS if sinc else _KINDS[:_SINC])
    kind = int(rng.choice(len(shares), p=shares / shares.sum()))
    size = int(rng.choice(_SIZES))
    if kind == _SINC:
        return sinc_kernel(rng, size)
    first = rng.uniform(*sigma)
    isotropic = kind % 2 == 0
    second = first if isotropic else rng.uniform(*sigma)
    angle = 0.0 if isotropic else rng.uniform(-np.pi, np.pi)
    shape = 1.0 if kind < 2 else rng.uniform(0.5, 4) if kind < 4 else rng.uniform(1, 2)
    distance = _distances(size, first, second, angle)
    kernel = np.exp(-0.5 * distance**shape) if kind < 4 else 1 / (1 + distance**shape)
    return kernel / kernel.sum()


def sinc_kernel(rng: np.random.Generator, size: int | None = None) -> np.ndarray:
    """Samples a circular low-pass filter with a random cut-off frequency.

    Args:
      rng: random generator.
      size: odd number of taps k, random if None.

    Returns:
      Weights `[k, k]` float64 of sum 1.
    """
    size = int(rng.choice(_SIZES)) if size is None else size
    # Below 13 taps a low cut-off would be no filter but a box.
    cutoff = rng.uniform(np.pi / 3 if size < 13 else np.pi / 5, np.pi)
    axis = np.arange(size) - size // 2
    radius = np.hypot(axis[:, None], axis)
    safe = np.where(radius == 0, 1, radius)
    kernel = cutoff * special.j1(cutoff * safe) / (2 * np.pi * safe)
    kernel[size // 2, size // 2] = cutoff**2 / (4 * np.pi)
    return kernel / kernel.sum()


def _distances(size: int, first: float, second: float, angle: float) -> np.ndarray:
    """Returns squared Mahalanobis distances from the middle, `[size, size]`."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = turn @ np.diag([1 / first**2, 1 / second**2]) @ turn.T
    axis = np.arange(size) - size // 2
    points = np.stack(np.meshgrid(axis, axis), -1)
    return np.einsum("yxi,ij,yxj->yx", points, inverse, points)
