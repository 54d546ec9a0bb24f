"""Black bars around the picture: found in a few frames, cropped from all."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.video.reading.probe import Crop, VideoInfo
from venhancer_jax.video.reading.read import read_frames

BARS = ("keep", "crop")
_SAMPLES = 12
# Streams without timestamps are read from their first frame to each sample.
_FARTHEST_WITHOUT_SEEK = 200
# Levels of 255. Encoders leave some noise in a bar; a subtitle there is far brighter.
_BRIGHTEST_BLACK = 24
# A bar ends abruptly: within so many lines the picture is this bright in some frame, where a
# vignette or a night sky brightens slowly.
_CLEARLY_BRIGHT = 64
_EDGE_LINES = 4
# Share of either side that bars can take.
_LARGEST_SHARE = 0.6
_SMALLEST_SIDE = 16


def crop_bars(info: VideoInfo) -> VideoInfo:
    """Finds black bars in frames spread over a video.

    Args:
      info: video that was probed.

    Returns:
      `info` with the crop between the bars, which `read_frames` applies, and its size; unchanged
      where there are none.

    Raises:
      InputError: the file cannot be read.
    """
    crop = find_bars(_samples(info))
    if crop is None:
        return info
    return dataclasses.replace(info, width=crop.width, height=crop.height, crop=crop)


def find_bars(frames: Iterable[np.ndarray]) -> Crop | None:
    """Finds rows and columns at the edges that are black in all frames.

    Bars are cropped to even sizes, and kept where the edge of the picture is not sharp, where
    something is written on them, or where they would take most of the picture.

    Args:
      frames: pictures `[H, W, 3]` of one size, full range, uint8 or uint16.

    Returns:
      Rows and columns between the bars, or None without bars.
    """
    rows = columns = np.zeros(0)
    for frame in frames:
        levels = frame.max(-1) / (np.iinfo(frame.dtype).max / 255)
        rows = np.maximum(levels.max(1), rows) if rows.size else levels.max(1)
        columns = np.maximum(levels.max(0), columns) if columns.size else levels.max(0)
    if not rows.size:
        return None
    top, bottom = _span(rows)
    left, right = _span(columns)
    if (top, bottom, left, right) == (0, len(rows), 0, len(columns)):
        return None
    return Crop(top=top, left=left, height=bottom - top, width=right - left)


def _span(levels: np.ndarray) -> tuple[int, int]:
    """Returns the first line between bars and the first one after, from the brightest levels."""
    length = len(levels)
    first, last = _bar(levels), _bar(levels[::-1])
    size = length - first - last
    if first + last > _LARGEST_SHARE * length or size < _SMALLEST_SIDE:
        return 0, length
    if (first or last) and size % 2:
        # A line of the wider bar stays.
        first, last = (first - 1, last) if first >= last else (first, last - 1)
    return first, length - last


def _bar(levels: np.ndarray) -> int:
    """Returns the number of lines of the bar at the start of `levels`."""
    bright = np.flatnonzero(levels > _BRIGHTEST_BLACK)
    clear = np.flatnonzero(levels > _CLEARLY_BRIGHT)
    if not bright.size or not clear.size or clear[0] - bright[0] >= _EDGE_LINES:
        return 0
    return int(bright[0])


def _samples(info: VideoInfo) -> Iterable[np.ndarray]:
    """Yields frames spread over a video, those of a damaged file as far as they can be read."""
    frames = len(info.times)
    last = frames if info.start is not None else min(frames, _FARTHEST_WITHOUT_SEEK)
    for index in np.unique(np.linspace(0, last - 1, _SAMPLES).astype(int)):
        seconds = info.times.seconds(int(index))
        try:
            yield from read_frames(
                info, start_time=seconds, max_frames=1, allow_damaged=True, as_stored=True
            )
        except InputError:
            continue
