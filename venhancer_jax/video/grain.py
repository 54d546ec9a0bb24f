"""Film grain: how strong that of a frame is, and new grain of that strength.

Grain is noise of luma that is as strong as the brightness under it has it. It is a function of seed
and frame alone, so that segments, tiles and resumed runs have the same.
"""

import zlib

import cv2
import numpy as np

from venhancer_jax.video import resize

# Luma in [-1, 1] at which the strength is measured; it is interpolated between.
LEVELS = np.linspace(-0.875, 0.875, 8, dtype=np.float32)
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
# What a quadratic fit around a pixel leaves of it (Immerkaer 1996): noise keeps its variance.
_RESIDUAL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
# Noise is measured in the blocks that vary least, which hold no texture. These are also those in
# which noise happens to vary least, by this factor.
_BLOCK, _FLATTEST, _VARIANCE_OF_FLATTEST = 8, 0.1, 0.63
# Fewer blocks of a brightness say nothing about it.
_LEAST_BLOCKS = 8
# Variance below that of two roundings to 8 bits is that of the format.
_ROUNDING = 2 / 12 * (2 / 255) ** 2
# Standard deviations at which grain is cut off, on both sides.
_MOST = 3.0
_STREAM = zlib.crc32(b"grain")


def measure_grain(frame: np.ndarray) -> np.ndarray:
    """Measures the noise of a frame at each brightness.

    Args:
      frame: uint8 or uint16 RGB frame `[H, W, 3]`.

    Returns:
      float32 standard deviation of luma `[8]` at `LEVELS`, where black to white is 2; 0 for a frame
      without noise, and for one that is too small to measure.
    """
    luma = resize.to_signed(frame) @ _LUMA
    variance = _block_means(np.square(cv2.filter2D(luma, -1, _RESIDUAL)))
    nearest = np.abs(_block_means(luma)[:, None] - LEVELS).argmin(1)
    known = [i for i in range(len(LEVELS)) if (nearest == i).sum() >= _LEAST_BLOCKS]
    if not known:
        return np.zeros_like(LEVELS)
    flattest = [np.quantile(variance[nearest == i], _FLATTEST) for i in known]
    noise = np.maximum(0, np.array(flattest) / _VARIANCE_OF_FLATTEST - _ROUNDING)
    return np.interp(LEVELS, LEVELS[known], np.sqrt(noise)).astype(np.float32)


def add_grain(
    frame: np.ndarray, strength: np.ndarray, *, seed: int, index: int, scale: float
) -> np.ndarray:
    """Adds grain to a frame.

    Grain weakens towards black and white, where it would be clipped on one side and leave a cast.

    Args:
      frame: RGB frame `[H, W, 3]` float32 in about [-1, 1].
      strength: standard deviation of the grain `[8]` at `LEVELS`, where black to white is 2.
      seed: seed of the grain.
      index: index of the frame in the output, which has grain of its own.
      scale: rows and columns of the frame for each of those that the strength was measured in: a
        grain that covered a pixel there covers as many here.

    Returns:
      float32 `[H, W, 3]`.
    """
    if not strength.any():
        return frame
    headroom = np.maximum(0, 1 - np.abs(frame).max(-1))
    wanted = np.interp(frame @ _LUMA, LEVELS, strength).astype(np.float32)
    grain = np.minimum(wanted, headroom / _MOST) * _unit_grain(frame.shape[:2], seed, index, scale)
    return frame + grain[..., None]


def _unit_grain(size: tuple[int, int], seed: int, index: int, scale: float) -> np.ndarray:
    """Draws grain `[H, W]` of mean 0 and variance 1."""
    counters = np.random.Philox(key=[seed, _STREAM], counter=[0, 0, 0, index])
    noise = np.random.Generator(counters).standard_normal(size, np.float32)
    if scale > 1:
        # Pixels of the input side by side are independent, those within one are alike.
        sigma = 0.5 * np.sqrt(scale**2 - 1)
        kernel = cv2.getGaussianKernel(2 * int(np.ceil(3 * sigma)) + 1, sigma, cv2.CV_32F)
        noise = cv2.sepFilter2D(noise, -1, kernel, kernel) / np.square(kernel).sum()
    return np.clip(noise, -_MOST, _MOST)


def _block_means(picture: np.ndarray) -> np.ndarray:
    """Averages a picture `[H, W]` over its whole blocks, `[n]`."""
    rows, columns = (side // _BLOCK for side in picture.shape)
    cropped = picture[: rows * _BLOCK, : columns * _BLOCK]
    return cropped.reshape(rows, _BLOCK, columns, _BLOCK).mean((1, 3)).reshape(-1)
