"""Peak signal-to-noise ratio."""

import numpy as np

from venhancer_jax.video.levels import unit_pair


def mean_squared_error(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Mean over pixels and channels of `[F, H, W, C]`: `[F]`, for values from 0 to 1."""
    pred, target = unit_pair(pred, target)
    return np.square(pred - target).mean(axis=(1, 2, 3))


def psnr(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """PSNR of every frame of `[F, H, W, C]`: `[F]` in dB, infinite for identical frames."""
    return decibels(mean_squared_error(pred, target))


def decibels(error: np.ndarray | float) -> np.ndarray:
    """PSNR in dB of mean squared errors of values from 0 to 1."""
    with np.errstate(divide="ignore"):
        return -10 * np.log10(error)
