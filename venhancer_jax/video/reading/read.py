"""Streaming the frames of a video as upright RGB arrays, at a constant rate or as stored."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av import VideoFrame

from venhancer_jax.errors import InputError
from venhancer_jax.video.colour.conversion import is_high_dynamic_range
from venhancer_jax.video.reading.deinterlace import deinterlace
from venhancer_jax.video.reading.picture import PictureConverter
from venhancer_jax.video.reading.probe import VideoInfo, probe
from venhancer_jax.video.reading.source import DamagedPictureError, VideoSource, open_source
from venhancer_jax.video.reading.stills import decode_pictures
from venhancer_jax.video.timing import TIME_TOLERANCE

_log = logging.getLogger(__name__)


def read_frames(
    info_or_path: VideoInfo | str | Path,
    *,
    start_time: float | Fraction = 0.0,
    max_frames: int | None = None,
    allow_damaged: bool = False,
    as_stored: bool = False,
    deep: bool = False,
    layers: bool = False,
) -> Iterator[np.ndarray]:
    """Yields the frames of a video, one at a time, at the constant rate `VideoInfo.rate`.

    Frames come upright, with square pixels, in full-range RGB, with transparency laid over black.
    Where pictures are unevenly spaced, each is held until the next; where they also have no common
    rate, each frame is the latest picture of its time, so that some are repeated and some dropped.
    Length and sync to sound are those of the file. An image is a one-frame video.

    With `as_stored` each stored picture comes once, whatever its time, which is in
    `VideoInfo.times`.

    Args:
      info_or_path: video that was probed, or path of one.
      start_time: seconds from the first frame; the first yielded frame is the one shown then.
      max_frames: largest number of frames, at least 1; None for all.
      allow_damaged: whether to read what a damaged or short file still holds: a picture that cannot
        be decoded is replaced by the one before it, one that can be decoded in part is shown so,
        and where the file breaks off the frames end, each with a logged warning.
      as_stored: whether to yield the stored pictures, in place of frames at a constant rate.
      deep: whether pictures of more than 8 bits are read in full, as uint16 with white at 65,535.
      layers: whether all that is stored is read (`layers.Passage` takes it): as `deep`, transparent
        pictures as RGBA, and those of floats (EXR) as float32 linear light, with a channel for
        each of `PictureFormat.layers`.

    Yields:
      uint8 RGB `[height, width, 3]`, each an array of its own, unless `deep` or `layers`.

    Raises:
      InputError: the file or a setting is wrong, or not one frame can be decoded. Unless
        `allow_damaged`, also a damaged or short file: at the call where that can be seen without
        decoding, else in place of the first frame that is missing or wrong.
    """
    info = info_or_path if isinstance(info_or_path, VideoInfo) else probe(info_or_path)
    clock = _clock(info, as_stored)
    if not math.isfinite(start_time) or not 0 <= start_time < clock.duration:
        raise InputError(
            f"start_time={start_time}: {info.path} lasts {float(clock.duration):.3f} s; "
            "give a time from 0 up to before its end."
        )
    if max_frames is not None and max_frames < 1:
        raise InputError(f"max_frames={max_frames}: give 1 or more, or None for all frames.")
    first = clock.shown_at(start_time)
    stop = clock.frames if max_frames is None else min(clock.frames, first + max_frames)
    if info.damage and not allow_damaged:
        raise _damaged(clock, info.damage)
    return _read(clock, first, stop, allow_damaged, deep=deep, layers=layers)


def first_frame(info: VideoInfo, start_time: float | Fraction, *, as_stored: bool = False) -> int:
    """Returns the index of the frame that is shown `start_time` seconds after the first one.

    Args:
      info: video that was probed.
      start_time: seconds from the first frame.
      as_stored: whether stored pictures are counted, in place of frames at a constant rate.
    """
    return _clock(info, as_stored).shown_at(start_time)


@dataclass(frozen=True)
class _ConstantClock:
    """Frames at a constant rate, which may repeat and drop pictures."""

    info: VideoInfo

    @property
    def frames(self) -> int:
        return self.info.frames

    @property
    def duration(self) -> Fraction:
        return self.info.duration

    @property
    def holds(self) -> bool:
        """Returns whether a picture stays until the next one comes."""
        return self.info.variable_rate

    def seconds(self, index: int) -> Fraction:
        return index / self.info.rate

    def shown_at(self, seconds: float | Fraction) -> int:
        index = math.floor(seconds * self.info.rate + TIME_TOLERANCE)
        return min(index, self.info.frames - 1)

    def index_of(self, seconds: Fraction, latest: int) -> int:
        """Returns the first frame to show a picture of a time."""
        position = seconds * self.info.rate
        if self.info.on_grid:
            return math.floor(position + Fraction(1, 2))
        return math.ceil(position - Fraction(1, 1000))


@dataclass(frozen=True)
class _StoredClock:
    """Frames that are the stored pictures, each once."""

    info: VideoInfo
    holds: bool = False

    @property
    def frames(self) -> int:
        return len(self.info.times)

    @property
    def duration(self) -> Fraction:
        return self.info.times.duration

    def seconds(self, index: int) -> Fraction:
        return self.info.times.seconds(index)

    def shown_at(self, seconds: float | Fraction) -> int:
        return self.info.times.shown_at(seconds)

    def index_of(self, seconds: Fraction, latest: int) -> int:
        """Returns the frame of the picture after frame `latest`; equal times count up."""
        if seconds < 0:  # refers to pictures before the file
            return -1
        return max(self.info.times.nearest(seconds), latest + 1)


_Clock = _ConstantClock | _StoredClock


def _clock(info: VideoInfo, as_stored: bool) -> _Clock:
    return _StoredClock(info) if as_stored else _ConstantClock(info)


def _read(
    clock: _Clock, first: int, stop: int, allow_damaged: bool, *, deep: bool, layers: bool
) -> Iterator[np.ndarray]:
    """Yields the frames from index `first` up to before `stop`."""
    info = clock.info
    if info.damage:
        _log.warning("%s: damaged: %s", info.path, info.damage)
    end = first
    converter: PictureConverter | None = None
    try:
        for frame in _shown(clock, first, stop, allow_damaged):
            if converter is None:
                names = [layer.name for layer in info.picture.layers] if layers else []
                converter = PictureConverter(
                    frame,
                    info.pixel_aspect,
                    deep=deep,
                    layers=layers,
                    layer_names=names,
                    chroma_location=info.picture.chroma_location,
                )
                if not layers and is_high_dynamic_range(frame):
                    _log.warning("%s: HDR video is read without tone mapping", info.path)
            picture = converter.convert(frame)
            yield picture if info.crop is None else info.crop.apply(picture)
            end += 1
    except DamagedPictureError as error:
        raise _damaged(clock, str(error), present=end) from error
    if end < stop and not allow_damaged:
        raise _damaged(clock, "the file breaks off", present=end)
    if converter is None:
        raise InputError(
            f"{info.path}: no frame can be decoded from frame {first} on; the file is damaged. "
            "Copy, download or record it again."
        )
    if end < stop:
        _log.warning(
            "%s: the file breaks off: frames end at %d of %d", info.path, end, clock.frames
        )


def _shown(clock: _Clock, first: int, stop: int, allow_damaged: bool) -> Iterator[VideoFrame]:
    """Yields the picture of each frame from `first` up to before `stop`, or to the file's end."""
    path = clock.info.path
    index, latest = first, first - 1
    repeated, mended = 0, 0
    current: VideoFrame | None = None
    try:
        for begins, picture in _from(clock, first, allow_damaged):
            mended += picture.is_corrupt
            # The first picture is never late, and evenly spaced ones leave no gap.
            if begins > latest + 1 and (current is None or not clock.holds):
                if not allow_damaged:
                    raise DamagedPictureError(f"near {float(clock.seconds(latest + 1)):.2f} s")
                repeated += begins - max(index, latest + 1)
            if current is not None:
                while index < min(begins, stop):
                    yield current
                    index += 1
            current, latest = picture, begins
            if index >= stop or (begins + 1 >= stop and not clock.holds):
                break
    except DamagedPictureError:
        if current is not None and index == latest < stop:
            yield current
        raise
    if current is not None:
        # The last picture of a variable rate stays until the end of the video.
        for _ in range(index, stop if clock.holds else min(latest + 1, stop)):
            yield current
    if repeated:
        _log.warning("%s: %d damaged or missing frames were repeated", path, repeated)
    if mended:
        _log.warning("%s: %d damaged pictures are shown as far as known", path, mended)


def _from(clock: _Clock, first: int, allow_damaged: bool) -> Iterator[tuple[int, VideoFrame]]:
    """Yields (index of the first frame that shows it, picture), from the one shown at `first`."""
    info = clock.info
    # Missing lines of an interlaced picture are computed from the picture before too.
    needed = first if info.deinterlace == "none" else first - 1
    if info.pictures:
        decoded = decode_pictures(info.pictures, max(0, needed), allow_damaged=allow_damaged)
        yield from ((frame.pts or 0, frame) for frame in deinterlace(decoded, info.deinterlace))
        return
    for wanted in range(first, max(0, needed - 1), -1):
        if info.start is None:
            break
        with open_source(info.path) as source:
            if source.seek(info.start + clock.seconds(wanted)):
                pictures = _placed(clock, source, allow_damaged, after_seek=True)
                begins, picture = next(pictures, (needed + 1, None))
                # Some formats only land behind the requested time; they are decoded from the start.
                if picture is not None and begins <= needed:
                    yield begins, picture
                    yield from pictures
                    return
    with open_source(info.path) as source:
        yield from _placed(clock, source, allow_damaged)


def _placed(
    clock: _Clock, source: VideoSource, allow_damaged: bool, *, after_seek: bool = False
) -> Iterator[tuple[int, VideoFrame]]:
    start, time_base = clock.info.start, source.stream.time_base
    begins = -1
    decoded = source.frames(allow_damaged=allow_damaged, after_seek=after_seek)
    for frame in deinterlace(decoded, clock.info.deinterlace):
        if start is None or time_base is None or frame.pts is None:
            begins += 1
        else:
            begins = clock.index_of(frame.pts * time_base - start, begins)
        yield begins, frame


def _damaged(clock: _Clock, reason: str, present: int | None = None) -> InputError:
    read = ""
    if present is not None:
        read = (
            f"; {present} of {clock.frames} frames ({float(clock.seconds(present)):.1f} of"
            f" {float(clock.duration):.1f} s) can be read"
        )
    return InputError(
        f"{clock.info.path}: damaged: {reason}{read}. Copy, download or record it again, or set"
        " allow_damaged=True for what is there."
    )
