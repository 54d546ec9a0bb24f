"""The arithmetic of the published program: windows, their weights, tiles, chunks.

Its quirks are intended: `compat="official"` and the parity recordings depend on each of them.
"""

import math

import numpy as np

from venhancer_jax.pipelines.pieces import Span, Window

# Pixels of the input: side of a tile, what it sees beyond it, and the area from which frames are
# always cut.
TILE, TILE_OVERLAP = 256, 64
TILED_AREA = 384 * 384
# Frames of at least this height and width are shrunk by this factor.
LARGE, SHRINK = 1280, 4
# Smaller sides have an axis of length 1 in the pyramid of RAFT, which divides by its length less 1.
LEAST_FLOW_SIDE = 121


def time_windows(frames: int, window: int = 8, overlap: int = 2) -> list[Window]:
    """Cuts a clip into windows in order of execution; the last ones may be equal."""
    if frames <= window:
        return [(0, frames)]
    stops = [min(frames, start + window) for start in range(0, frames, window - overlap)]
    return [(stop - window, stop) for stop in stops]


def window_shares(frames: int, windows: list[Window]) -> np.ndarray:
    """Computes the weight of each window in each frame, `[windows, frames]` float32.

    The first window that predicts a frame has weight 1; each later one takes half of it all.
    """
    shares = np.zeros((len(windows), frames), np.float32)
    for i, (start, stop) in enumerate(windows):
        seen = shares[:, start:stop].any(axis=0)
        shares[:, start:stop] *= np.where(seen, np.float32(0.5), 1)
        shares[i, start:stop] = np.where(seen, 0.5, 1)
    return shares


def window_spans(frames: int, window: int = 8, overlap: int = 2) -> list[Span]:
    """Weighs the windows of a clip; equal windows, whose results are equal, are one."""
    windows = time_windows(frames, window, overlap)
    total: dict[Window, np.ndarray] = {}
    for (start, stop), share in zip(windows, window_shares(frames, windows), strict=True):
        own = share[start:stop]
        total[start, stop] = total[start, stop] + own if (start, stop) in total else own
    return [Span(start, stop, weights) for (start, stop), weights in total.items()]


def tile_sides(side: int, tile: int, overlap: int = TILE_OVERLAP) -> list[tuple[Window, Window]]:
    """Cuts rows or columns into tiles.

    Args:
      side: number of rows or columns.
      tile: rows or columns of a core.
      overlap: rows or columns that a tile sees beyond its core.

    Returns:
      Input and core of each tile, none where the side is not longer than the overlap.
    """
    count = math.ceil(side / tile)
    shrunk = (count - 1) * tile + overlap >= side
    count -= shrunk
    tiles = []
    for i in range(count):
        start, stop = i * tile, min((i + 1) * tile, side)
        seen = max(start - overlap, 0), min(stop + overlap, side)
        tiles.append((seen, (start, side if shrunk and i == count - 1 else stop)))
    return tiles


def decode_windows(frames: int, chunk: int = 3) -> list[Window]:
    """Cuts a clip into chunks that are decoded by themselves; the last one may be shorter."""
    return [(start, min(start + chunk, frames)) for start in range(0, frames, chunk)]
