"""Streaming the frames of a video as upright RGB arrays at a constant rate."""

import logging
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from av import VideoFrame
from av.error import FFmpegError

from venhancer_jax.errors import InputError
from venhancer_jax.video.colour import is_high_dynamic_range
from venhancer_jax.video.picture import PictureConverter
from venhancer_jax.video.probe import VideoInfo, probe
from venhancer_jax.video.source import VideoSource, open_source

_log = logging.getLogger(__name__)

# A start time such as 0.7 s is a hair before the frame at 7/10 s in binary floating point.
_START_TOLERANCE = 1e-6


def read_frames(
    info_or_path: VideoInfo | str | Path,
    *,
    start_time: float = 0.0,
    max_frames: int | None = None,
    strict: bool = False,
) -> Iterator[np.ndarray]:
    """Yields the frames of a video, one at a time, at the constant rate `VideoInfo.rate`.

    Frames come upright, with square pixels, in full-range RGB, with transparency laid over black.
    A video of variable rate shows at each tick the latest frame of that time, so its length and its
    sync to sound stay right. A frame that cannot be decoded is replaced by the one before it; where
    a file breaks off the frames end, both with a logged warning. An image is a one-frame video.

    Args:
      info_or_path: a probed video, or the path of one.
      start_time: seconds from the first frame; the first yielded frame is the one shown then.
      max_frames: yields at most so many, at least 1; None for all.
      strict: raise where the pictures are damaged, in place of repeating and warning.

    Yields:
      uint8 RGB `[height, width, 3]`, each an array of its own.

    Raises:
      InputError: the file or a setting is wrong, or not one frame can be decoded; if `strict`, a
        damaged picture.
    """
    info = info_or_path if isinstance(info_or_path, VideoInfo) else probe(info_or_path)
    if not math.isfinite(start_time) or not 0 <= start_time < info.duration:
        raise InputError(
            f"start_time={start_time}: {info.path} lasts {float(info.duration):.3f} s; "
            "give a time from 0 up to before its end."
        )
    if max_frames is not None and max_frames < 1:
        raise InputError(f"max_frames={max_frames}: give 1 or more, or None for all frames.")
    first = min(math.floor(start_time * info.rate + _START_TOLERANCE), info.frames - 1)
    stop = info.frames if max_frames is None else min(info.frames, first + max_frames)
    if strict and info.damage:
        raise InputError(f"{info.path}: damaged: {info.damage}")
    return _read(info, first, stop, strict)


def _read(info: VideoInfo, first: int, stop: int, strict: bool) -> Iterator[np.ndarray]:
    """The pictures of the ticks `first` up to before `stop`."""
    end = first
    converter: PictureConverter | None = None
    for frame in _shown(info, first, stop, strict):
        if converter is None:
            converter = PictureConverter(frame, info.pixel_aspect)
            if is_high_dynamic_range(frame):
                _log.warning("%s: HDR video is read without tone mapping", info.path)
        end += 1
        yield converter.convert(frame)
    if converter is None:
        raise InputError(
            f"{info.path}: no frame can be decoded from frame {first} on; the file is damaged. "
            "Copy, download or record it again."
        )
    if end < stop:
        _log.warning("%s: the file breaks off: frames end at %d of %d", info.path, end, info.frames)


def _shown(info: VideoInfo, first: int, stop: int, strict: bool) -> Iterator[VideoFrame]:
    """The frame shown at each tick from `first` up to before `stop`, or to where the file ends."""
    tick = first
    repeated = 0
    current: VideoFrame | None = None
    for begins, frame in _from(info, first, strict):
        if current is not None:
            end = min(begins, stop)
            repeated += max(0, end - tick - 1)
            while tick < end:
                yield current
                tick += 1
        if tick >= stop:
            break
        current = frame
    if current is not None:
        # The last frame of a variable rate stays until the end of the video.
        for _ in range(tick, stop if info.variable_rate else min(tick + 1, stop)):
            yield current
    if repeated and not info.variable_rate:
        _log.warning("%s: %d damaged or missing frames were repeated", info.path, repeated)


def _from(info: VideoInfo, first: int, strict: bool) -> Iterator[tuple[int, VideoFrame]]:
    """(tick at which it begins to be shown, frame), starting with one that is shown at `first`."""
    if first > 0 and info.start is not None:
        with open_source(info.path) as source:
            frames = _placed(info, source, info.start + first / info.rate, strict)
            begins, frame = next(frames, (first + 1, None))
            # Some formats only land behind the asked time; these are decoded from their start.
            if frame is not None and begins <= first:
                yield begins, frame
                yield from frames
                return
    with open_source(info.path) as source:
        yield from _placed(info, source, None, strict)


def _placed(
    info: VideoInfo, source: VideoSource, seek_time: Fraction | None, strict: bool
) -> Iterator[tuple[int, VideoFrame]]:
    time_base = source.stream.time_base
    if seek_time is not None:
        assert time_base is not None
        try:
            source.container.seek(math.floor(seek_time / time_base), stream=source.stream)
        except FFmpegError:
            return
    begins = -1
    for frame in source.frames(strict=strict):
        if info.start is None or time_base is None or frame.pts is None:
            begins += 1
        else:
            position = (frame.pts * time_base - info.start) * info.rate
            begins = _first_tick(position, info.variable_rate)
        yield begins, frame


def _first_tick(position: Fraction, variable_rate: bool) -> int:
    """The first tick that shows a frame whose time is `position` ticks."""
    if variable_rate:
        return math.ceil(position - Fraction(1, 1000))
    return math.floor(position + Fraction(1, 2))
