"""Colour correction: the colours of a source under the details of a result.

A frame is corrected by what it and its source show, so that tiles, windows and segments leave no
trace. What the corrections measure are means over areas of the source's pixels: fine detail, which
a result invents, and grain, which differs from frame to frame, do not enter, and colours flicker no
more than those of the source.
"""

import cv2
import numpy as np

from venhancer_jax.video import resize
from venhancer_jax.video.colour.cielab import lab_to_rgb, rgb_to_lab

# Names of the functions below.
COLOURS = ("none", "wavelet", "adain", "lab")
LEVELS = 5
# Rows and columns of the areas that `lab` measures, at most.
_AREAS = 64
# Factors by which `lab` changes the spread of colours, so that no grey frame turns gaudy.
_LEAST_GAIN, _MOST_GAIN = 0.5, 2.0


def correct_colours(frames: np.ndarray, source: np.ndarray, colour: str) -> np.ndarray:
    """Gives frames the colours of a source.

    Args:
      frames: frames to correct, `[F, H, W, 3]` float32 in about [-1, 1].
      source: frames with the right colours, `[F, h, w, 3]` in [-1, 1].
      colour: one of `COLOURS`.

    Returns:
      Corrected frames `[F, H, W, 3]`, not clipped to any range.
    """
    if colour == "none":
        return frames
    if colour == "adain":
        return adain(frames, source, measured=_to_size(frames, source.shape[1:3]))
    return {"wavelet": wavelet, "lab": lab}[colour](frames, source)


def adain(
    target: np.ndarray, source: np.ndarray, *, measured: np.ndarray | None = None
) -> np.ndarray:
    """Matches mean and standard deviation of each channel of each frame to those of a source.

    Args:
      target: frames to correct, `[F, H, W, 3]`.
      source: frames with the right colours, `[F, h, w, 3]` in the range of `target`.
      measured: `target` in a size that compares with `source`; by default as it is.

    Returns:
      Corrected frames `[F, H, W, 3]`, not clipped to any range.
    """
    mean, std = _moments(target if measured is None else measured)
    wanted_mean, wanted_std = _moments(source)
    return (target - mean) / std * wanted_std + wanted_mean


def lab(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Matches, in CIELAB, mean and spread of a and b and the mean of L to those of a source.

    L is shifted only: the contrast of a result, and its details, are its own.

    Args:
      target: frames to correct, `[F, H, W, 3]` in [-1, 1].
      source: frames with the right colours, `[F, h, w, 3]` in [-1, 1].

    Returns:
      Corrected frames `[F, H, W, 3]`, not clipped to any range.
    """
    sizes = target.shape[1:3], source.shape[1:3]
    size = tuple(min(_AREAS, *sides) for sides in zip(*sizes, strict=True))
    (mean, std), (wanted_mean, wanted_std) = (
        _moments(rgb_to_lab(_to_size(frames, size))) for frames in (target, source)
    )
    gain = np.clip(wanted_std / std, _LEAST_GAIN, _MOST_GAIN)
    gain[..., 0] = 1
    return lab_to_rgb((rgb_to_lab(target) - mean) * gain + wanted_mean)


def wavelet(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Combines the high frequencies of frames with the low frequencies of a source.

    Args:
      target: frames to correct, `[F, H, W, 3]`.
      source: frames with the right colours, `[F, h, w, 3]` in the range of `target`; those of
        another size are compared with `target` averaged to that size.

    Returns:
      Corrected frames `[F, H, W, 3]`, not clipped to any range.
    """
    size = source.shape[1:3]
    if size == target.shape[1:3]:
        return wavelet_split(target)[0] + wavelet_split(source)[1]
    difference = resize.resize_bicubic(source - _to_size(target, size), target.shape[1:3])
    return target + wavelet_split(difference)[1]


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


def _to_size(frames: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Averages frames `[F, H, W, 3]` over the areas of the pixels of a size."""
    height, width = size
    return frames if frames.shape[1:3] == size else resize.resize_area(frames, (height, width))


def _moments(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes mean and standard deviation of each channel of each frame, `[F, 1, 1, 3]`."""
    # Summed in float32, the variance of a million pixels is off by a thousandth.
    mean = frames.mean((1, 2), dtype=np.float64, keepdims=True)
    variance = frames.var((1, 2), dtype=np.float64, ddof=1, keepdims=True)
    return mean.astype(np.float32), np.sqrt(variance + 1e-5).astype(np.float32)
