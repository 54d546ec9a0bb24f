"""Overlapping windows along time or space, and the weights that join them again."""

import math

import numpy as np

Window = tuple[int, int]


def sliding_windows(length: int, window: int, overlap: int) -> list[Window]:
    """Windows over `[0, length)`; a short rest joins the last one.

    Args:
      length: of the axis.
      window: length of every window but the last, which may be a third longer.
      overlap: of neighbours, less than `window`.

    Returns:
      `(start, end)` of each.

    Raises:
      ValueError: windows that would not get ahead.
    """
    if overlap >= window:
        raise ValueError(f"an overlap of {overlap}: expected less than the window, {window}")
    start, windows = 0, []
    while start + max(window, round(1.33 * window)) < length:
        windows.append((start, start + window))
        start += window - overlap
    return [*windows, (start, length)]


def equal_windows(frames: int, stride: int, limit: int) -> list[Window]:
    """Windows of one length over a clip: the last one overlaps more, none is padded.

    One length means one compiled program. Every window starts on a key frame.

    Args:
      frames: of the clip, one more than a multiple of `stride`.
      stride: frames from one key frame to the next.
      limit: most frames of a window, and the length up to which a clip is not cut.
    """
    if frames <= limit:
        return [(0, frames)]
    intervals = max(1, (limit - 1) // stride)
    window = intervals * stride + 1
    step = max(1, intervals // 2) * stride
    starts = [*range(0, frames - window, step), frames - window]
    return [(start, start + window) for start in starts]


def gaussian_weights(height: int, width: int) -> np.ndarray:
    """Weights of a tile in its overlaps, `[height, width]` float64.

    The centre is that of the official program: half a row lower than the middle, but not aside.
    """
    variance = 0.02

    def bell(length: int, centre: float) -> np.ndarray:
        z = (np.arange(length) - centre) / length
        return np.exp(-(z**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)

    return np.outer(bell(height, height / 2), bell(width, (width - 1) / 2))
