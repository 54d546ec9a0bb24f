"""Colour correction: the colours of a source under the details of a result."""

import cv2
import numpy as np

LEVELS = 5


def adain(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Matches mean and standard deviation of each channel of each frame to those of a source.

    Args:
      target: frames to correct, `[F, H, W, 3]`.
      source: frames with the right colours, `[F, h, w, 3]` in the range of `target`.

    Returns:
      Corrected frames `[F, H, W, 3]`, not clipped to any range.
    """
    (mean, std), (wanted_mean, wanted_std) = _moments(target), _moments(source)
    return (target - mean) / std * wanted_std + wanted_mean


def wavelet(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Combines the high frequencies of frames with the low frequencies of a source.

    Args:
      target: frames to correct, `[F, H, W, 3]`.
      source: frames with the right colours, `[F, H, W, 3]` in the range of `target`.

    Returns:
      Corrected frames `[F, H, W, 3]`, not clipped to any range.
    """
    return wavelet_split(target)[0] + wavelet_split(source)[1]


def wavelet_split(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Splits frames into high and low frequencies by five blurs of doubling width.

    Args:
      frames: pictures `[F, H, W, 3]`.

    Returns:
      High and low frequencies, `[F, H, W, 3]` each, whose sum is `frames`.
    """
    low = frames
    for level in range(LEVELS):
        low = blur(low, 2**level)
    return frames - low, low


def blur(frames: np.ndarray, reach: int) -> np.ndarray:
    """Blurs rows and columns with the kernel [1 2 1] / 4, whose taps are apart.

    Args:
      frames: pictures `[F, H, W, 3]`; pixels beyond an edge equal those of the edge.
      reach: distance of the taps, in pixels; it may exceed the size of the pictures.

    Returns:
      Blurred pictures `[F, H, W, 3]`.
    """
    kernel = np.zeros(2 * reach + 1)
    kernel[[0, reach, -1]] = 0.25, 0.5, 0.25
    edge = cv2.BORDER_REPLICATE
    return np.stack([cv2.sepFilter2D(x, -1, kernel, kernel, borderType=edge) for x in frames])


def _moments(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes mean and standard deviation of each channel of each frame, `[F, 1, 1, 3]`."""
    # Summed in float32, the variance of a million pixels is off by a thousandth.
    mean = frames.mean((1, 2), dtype=np.float64, keepdims=True)
    variance = frames.var((1, 2), dtype=np.float64, ddof=1, keepdims=True)
    return mean.astype(np.float32), np.sqrt(variance + 1e-5).astype(np.float32)
