"""Pictures as their container lists them: times, and what is missing, without decoding."""

import itertools
import re
from dataclasses import dataclass
from fractions import Fraction

from venhancer_jax.errors import InputError
from venhancer_jax.video.reading.source import VideoSource
from venhancer_jax.video.timing import (
    FrameTimes,
    Timing,
    constant_times,
    constant_timing,
    measure_times,
    measure_timing,
)

_RATE_WHEN_UNKNOWN = Fraction(25)
# Rounding and unknown lengths of the last picture do not make a file short.
_SHORT_SECONDS = 0.5
# Formats that store for how long the last picture is shown; for others FFmpeg guesses.
_FORMATS_WITH_LENGTHS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "gif", "apng")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPicture:
    """One packet of a picture stream.

    Attributes:
      stamp: presentation time in ticks, or None.
      length: ticks for which the picture is shown, 0 when unknown.
      is_key: whether decoding can begin here.
      is_cut_off: whether bytes of it are missing.
      is_hidden: whether it is decoded for others and never shown.
    """

    stamp: int | None
    length: int
    is_key: bool
    is_cut_off: bool
    is_hidden: bool


def list_pictures(source: VideoSource) -> list[StoredPicture]:
    """Lists the pictures of a stream in file order, up to where the file breaks off.

    Args:
      source: open file, which is read to its end.

    Raises:
      InputError: no picture is shown.
    """
    pictures = [
        StoredPicture(
            stamp=packet.pts,
            length=packet.duration or 0,
            is_key=packet.is_keyframe,
            is_cut_off=packet.is_corrupt,
            is_hidden=packet.is_discard,
        )
        for packet in source.packets()
    ]
    if all(picture.is_hidden for picture in pictures):
        raise InputError(f"{source.path}: the file holds a picture stream with zero frames.")
    return pictures


def drop_undecodable_start(
    pictures: list[StoredPicture], first_decoded: int | None
) -> list[StoredPicture]:
    """Drops pictures at the start that refer to pictures before the file.

    A broadcast that was cut anywhere begins with such pictures; they are not damage.

    Args:
      pictures: stored pictures, in file order.
      first_decoded: stamp of the first picture that can be decoded, or None.

    Returns:
      Pictures from the first decoded one on; all, if a picture where decoding can begin is before.
    """
    key = next((picture.stamp for picture in pictures if picture.is_key), None)
    if first_decoded is None or any(picture.stamp is None for picture in pictures):
        return pictures
    if key is not None and key < first_decoded:
        return pictures
    return [picture for picture in pictures if (picture.stamp or 0) >= first_decoded]


def find_timing(
    source: VideoSource, pictures: list[StoredPicture]
) -> tuple[Timing, FrameTimes, Fraction | None]:
    """Finds the frame rate of a stream, the time of each picture, and that of the first one.

    Args:
      source: open file.
      pictures: decodable pictures.

    Returns:
      Timing at a constant rate, times of the pictures, and presentation time of the first one in
      seconds, None for a stream without timestamps.
    """
    stream = source.stream
    claimed = [
        rate for rate in (stream.guessed_rate, stream.average_rate, stream.base_rate) if rate
    ] or [_RATE_WHEN_UNKNOWN]
    shown = [picture for picture in pictures if not picture.is_hidden]
    stamps = sorted(picture.stamp for picture in shown if picture.stamp is not None)
    if len(stamps) < len(shown) or stream.time_base is None:
        return constant_timing(claimed[0], len(shown)), constant_times(claimed[0], len(shown)), None
    last_length = next(picture.length for picture in shown if picture.stamp == stamps[-1])
    if "mp4" in source.container.format.name and shown[-1].stamp != stamps[-1] and stream.duration:
        # Which stores the lengths of decoding steps; the last one is of another picture.
        last_length = max(1, (stream.start_time or 0) + stream.duration - stamps[-1])
    if source.container.format.name == "avi":  # which lists its slots, of one tick each
        last_length = max(last_length, stream.frames - stamps[-1])
    timing = measure_timing(stamps, stream.time_base, claimed, last_length, stream.average_rate)
    known_length = last_length if source.container.format.name in _FORMATS_WITH_LENGTHS else 0
    times = measure_times(stamps, stream.time_base, claimed, known_length)
    return timing, times, stamps[0] * stream.time_base


def find_damage(source: VideoSource, pictures: list[StoredPicture], timing: Timing) -> str:
    """Describes what is missing of a stream, as far as its container tells.

    An MP4 lists its pictures, an AVI its slots, and Matroska stores the length of a stream; other
    formats have no index, or one that may be out of date.

    Args:
      source: open file.
      pictures: all pictures of the file.
      timing: timing of the decodable ones.

    Returns:
      Words on what is there of what was promised; empty for a whole file.
    """
    stream, name = source.stream, source.container.format.name
    listed, rate = stream.frames, float(timing.rate)
    if "mp4" in name and len(pictures) < listed:
        return _cut_short(len(pictures) / rate, listed / rate, len(pictures), listed)
    # FFmpeg shortens the duration of an AVI that is smaller than its header says.
    if name == "avi" and (stream.duration or listed) < listed and timing.frames < listed:
        return _cut_short(timing.frames / rate, listed / rate, timing.frames, listed)
    if "matroska" in name and (promised := _tagged_seconds(stream.metadata)) is not None:
        stamps = sorted(p.stamp + p.length for p in pictures if p.stamp is not None)
        unit = float(stream.time_base or 0)
        longest = max((b - a for a, b in itertools.pairwise(stamps)), default=0) * unit
        end = stamps[-1] * unit if stamps else 0
        if end + max(longest, _SHORT_SECONDS) < promised:
            return _cut_short(end, promised)
    broken = sum(picture.is_cut_off for picture in pictures)
    return f"{broken} of {len(pictures)} frames are cut off" if broken else ""


def _cut_short(present: float, promised: float, frames: int = 0, listed: int = 0) -> str:
    count = f"{frames} of {listed} frames, " if listed else ""
    return f"cut short: {count}{present:.1f} of {promised:.1f} s are there"


def _tagged_seconds(metadata: dict[str, str]) -> float | None:
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", metadata.get("DURATION", ""))
    if match is None:
        return None
    hours, minutes, seconds = match.groups()
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
