"""Peak signal-to-noise ratio."""

import numpy as np

from venhancer_jax.video.colour.levels import unit_pair


def mean_squared_error(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Computes the mean squared error of each frame.

    Args:
      pred: frames of the result `[F, H, W, C]`, uint8 or floats from 0 to 1.
      target: frames of the target `[F, H, W, C]`, uint8 or floats from 0 to 1.

    Returns:
      Error of each frame for values from 0 to 1, `[F]`.

    Raises:
      InputError: shapes differ, no frame, another type, or floats beyond 0 to 1.
    """
    pred, target = unit_pair(pred, target)
    return np.square(pred - target).mean(axis=(1, 2, 3))


def psnr(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Computes the peak signal-to-noise ratio of each frame.

    Args:
      pred: frames of the result `[F, H, W, C]`, uint8 or floats from 0 to 1.
      target: frames of the target `[F, H, W, C]`, uint8 or floats from 0 to 1.

    Returns:
      PSNR of each frame in dB, `[F]`, infinite for identical frames.

    Raises:
      InputError: shapes differ, no frame, another type, or floats beyond 0 to 1.
    """
    return decibels(mean_squared_error(pred, target))


def decibels(error: np.ndarray | float) -> np.ndarray:
    """Converts mean squared errors to PSNR in dB.

    Args:
      error: errors of values from 0 to 1.
    """
    with np.errstate(divide="ignore"):
        return -10 * np.log10(error)
