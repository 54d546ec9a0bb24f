"""Structural similarity, at one scale and at five."""

import numpy as np
from scipy import ndimage

from venhancer_jax.errors import InputError
from venhancer_jax.video.colour.levels import unit_pair

# Wang et al. 2004, section III-C: a window of 11 x 11, sigma 1.5, K1 and K2.
_RADIUS = 5
_SIGMA = 1.5
_C1 = 0.01**2
_C2 = 0.03**2
# Wang et al. 2003, section 3.2: exponents of the scales from fine to coarse.
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

_taps = np.exp(-0.5 * np.square(np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA))
_TAPS = _taps / _taps.sum()


def ssim(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Computes SSIM of each frame, the mean over its channels.

    Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity",
    equation 13, with a Gaussian window of 11 x 11 and sigma 1.5, over the pixels whose whole window
    is inside the frame.

    Args:
      pred: frames of the result `[F, H, W, C]`: RGB, or `luma(frames)` for SSIM on luma.
      target: frames of the target `[F, H, W, C]`.

    Returns:
      Similarities `[F]`, 1 for identical frames.

    Raises:
      InputError: shapes differ, or a side is below 11 pixels.
    """
    pred, target = unit_pair(pred, target)
    _check_size(pred, 2 * _RADIUS + 1, "SSIM")
    luminance, structure = _luminance_and_structure(pred, target)
    return (luminance * structure).mean(axis=(1, 2, 3))


def ms_ssim(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Computes multi-scale SSIM of each frame, the mean over its channels.

    Wang et al. 2003, "Multi-scale Structural Similarity for Image Quality Assessment", equation 7,
    with the five exponents of its section 3.2. Between scales blocks of 2 x 2 pixels are averaged,
    an odd last row or column is dropped. A negative mean counts as 0, as its power is not real.

    Args:
      pred: frames of the result `[F, H, W, C]`: RGB, or `luma(frames)` as in the paper.
      target: frames of the target `[F, H, W, C]`.

    Returns:
      Similarities `[F]`, 1 for identical frames.

    Raises:
      InputError: shapes differ, or a side is below 176 pixels: 11 at the coarsest scale.
    """
    pred, target = unit_pair(pred, target)
    _check_size(pred, (2 * _RADIUS + 1) * 2 ** (len(_WEIGHTS) - 1), "MS-SSIM")
    score = np.ones((pred.shape[0], pred.shape[-1]))
    for scale, weight in enumerate(_WEIGHTS):
        luminance, structure = _luminance_and_structure(pred, target)
        coarsest = scale == len(_WEIGHTS) - 1
        mean = (luminance * structure if coarsest else structure).mean(axis=(1, 2))
        score *= np.maximum(mean, 0) ** weight
        pred, target = _halve(pred), _halve(target)
    return score.mean(axis=-1)


def _luminance_and_structure(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes luminance, and contrast times structure, of each pixel `[F, H - 10, W - 10, C]`."""
    mean_x, mean_y = _blur(x), _blur(y)
    variance = _blur(x * x) - mean_x**2 + _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return luminance, (2 * covariance + _C2) / (variance + _C2)


def _blur(x: np.ndarray) -> np.ndarray:
    """Averages over Gaussian windows inside the frame."""
    for axis in (1, 2):
        x = ndimage.correlate1d(x, _TAPS, axis=axis)
    return x[:, _RADIUS:-_RADIUS, _RADIUS:-_RADIUS]


def _halve(x: np.ndarray) -> np.ndarray:
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def _check_size(x: np.ndarray, least: int, what: str) -> None:
    height, width = x.shape[1:3]
    if min(height, width) < least:
        raise InputError(
            f"frames of {width}x{height}: {what} needs at least {least} pixels each way. Measure "
            "larger frames, or leave it out."
        )
