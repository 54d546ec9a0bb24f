"""Scene cuts, found by the brightness of successive frames."""

import itertools
from collections.abc import Iterable

import numpy as np

from venhancer_jax.errors import InputError

DIFFERENCE = 0.1
HISTOGRAM = 0.1
PEAK = 4.0
_NEIGHBOURS = 6
_BINS = 32
# Rows and columns that are looked at; cuts show at any size.
_GRID = 64
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def find_cuts(
    frames: Iterable[np.ndarray],
    *,
    difference: float = DIFFERENCE,
    histogram: float = HISTOGRAM,
    peak: float = PEAK,
) -> tuple[list[int], int]:
    """The frames at which a new scene begins.

    A cut is where the picture and its histogram change at once and far more than around: fast
    motion changes the picture in all frames alike, and a fade changes the histogram in all.

    Args:
      frames: uint8 RGB `[H, W, 3]`, one after the other.
      difference: least mean absolute change of luma, 0 to 1.
      histogram: least total variation between luma histograms, 0 to 1.
      peak: least ratio of the change to the median of the changes around it.

    Returns:
      Frame numbers, ascending and without 0, and the count of all frames.
    """
    changes, spreads = [], []
    before: tuple[np.ndarray, np.ndarray] | None = None
    for frame in frames:
        luma = _luma(frame)
        now = luma, _histogram(luma)
        if before is not None:
            changes.append(float(np.abs(now[0] - before[0]).mean()))
            spreads.append(float(np.abs(now[1] - before[1]).sum() / 2))
        before = now
    cuts = []
    for i, (change, spread) in enumerate(zip(changes, spreads, strict=True)):
        around = changes[max(0, i - _NEIGHBOURS) : i + _NEIGHBOURS + 1]
        if change >= difference and spread >= histogram and change >= peak * np.median(around):
            cuts.append(i + 1)
    return cuts, len(changes) + (before is not None)


def split(cuts: list[int], frames: int, *, least: int, most: int) -> list[tuple[int, int]]:
    """`(start, end)` of the clips between cuts; long scenes are cut further, short ones left out.

    Args:
      cuts: frames at which scenes begin.
      frames: of the video.
      least: frames of a clip.
      most: frames of a clip, not less than `least`.

    Raises:
      InputError: `most` is less than `least`.
    """
    if most < least:
        raise InputError(f"max_frames={most} is less than min_frames={least}")
    clips = []
    for start, end in zip([0, *cuts], [*cuts, frames], strict=True):
        # Equal parts, so that no short rest is lost.
        parts = max(1, -(-(end - start) // most))
        edges = [start + (end - start) * i // parts for i in range(parts + 1)]
        clips += [edge for edge in itertools.pairwise(edges) if edge[1] > edge[0]]
    return [(start, end) for start, end in clips if end - start >= least]


def _luma(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    rows = np.linspace(0, height - 1, min(height, _GRID)).astype(int)
    columns = np.linspace(0, width - 1, min(width, _GRID)).astype(int)
    return frame[np.ix_(rows, columns)] @ (_LUMA / 255)


def _histogram(luma: np.ndarray) -> np.ndarray:
    counts, _ = np.histogram(luma, bins=_BINS, range=(0, 1))
    # Neighbours share, so that a level on the edge of a bin does not flip.
    return np.convolve(counts, [0.25, 0.5, 0.25], "same") / luma.size
