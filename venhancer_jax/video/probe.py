"""What a video file holds: size, exact rate, exact frame count, codecs."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from venhancer_jax.errors import InputError
from venhancer_jax.video.picture import PictureConverter
from venhancer_jax.video.source import VideoSource, codec_name, open_source
from venhancer_jax.video.timing import Timing, constant_timing, measure_timing

_RATE_WHEN_UNKNOWN = Fraction(25)


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """Facts on one video file.

    Attributes:
      path: the file.
      width: columns of the frames that `read_frames` yields: upright, with square pixels.
      height: rows of those frames.
      rate: frames per second, exact; the mean when the stored rate is variable.
      frames: how many frames `read_frames` yields.
      duration: seconds.
      start: presentation time in seconds of the first frame, None for a stream without timestamps.
      rotation: clockwise degrees by which the stored frames are turned: 0, 90, 180 or 270.
      pixel_aspect: width over height of a stored pixel.
      codec: FFmpeg's name of the picture codec, such as `h264`.
      pixel_format: FFmpeg's name of the stored samples, such as `yuv420p`.
      variable_rate: whether the stored frames are unevenly spaced.
      audio_codec: name of the first sound stream's codec, None for a silent file.
      damage: what of the pictures is missing, as far as it shows without decoding; empty for a
        whole file.
    """

    path: Path
    width: int
    height: int
    rate: Fraction
    frames: int
    duration: Fraction
    start: Fraction | None
    rotation: int
    pixel_aspect: Fraction
    codec: str
    pixel_format: str
    variable_rate: bool
    audio_codec: str | None
    damage: str = ""


def probe(path: str | Path) -> VideoInfo:
    """Reads the facts of the video or image at `path`, counting its frames without decoding them.

    Raises:
      InputError: the file is missing, empty, cut short, not a video, or holds no frame.
    """
    path = Path(path)
    with open_source(path) as source:
        timing, start, damage = _read_timing(source)
    # A second pass, as not every format can go back to its first frame.
    with open_source(path) as source:
        first = next(source.frames(), None)
        if first is None:
            raise InputError(
                f"{path}: none of the {timing.frames} frames can be decoded; the file is damaged. "
                "Copy, download or record it again."
            )
        pixel_aspect = source.stream.sample_aspect_ratio or Fraction(1)
        picture = PictureConverter(first, pixel_aspect)
        sound = source.container.streams.audio
        return VideoInfo(
            path=path,
            width=picture.width,
            height=picture.height,
            rate=timing.rate,
            frames=timing.frames,
            duration=timing.duration,
            start=start,
            rotation=picture.orientation.rotation,
            pixel_aspect=pixel_aspect,
            codec=source.decoder.codec.canonical_name,
            pixel_format=first.format.name,
            variable_rate=timing.variable,
            audio_codec=codec_name(sound[0]) if sound else None,
            damage=damage,
        )


def _read_timing(source: VideoSource) -> tuple[Timing, Fraction | None, str]:
    """When frames are shown, when the first one is, and what is missing of them."""
    stamps: list[int | None] = []
    last_stamp, last_length = -1, 0
    found, broken = 0, 0
    for packet in source.packets():
        found += 1
        broken += packet.is_corrupt
        if packet.is_discard:
            continue
        stamps.append(packet.pts)
        if packet.pts is not None and packet.pts > last_stamp:
            last_stamp, last_length = packet.pts, packet.duration or 0
    if not stamps:
        raise InputError(f"{source.path}: the file holds a picture stream with zero frames.")

    stream = source.stream
    claimed = [
        rate for rate in (stream.guessed_rate, stream.average_rate, stream.base_rate) if rate
    ] or [_RATE_WHEN_UNKNOWN]
    known = sorted(stamp for stamp in stamps if stamp is not None)
    if len(known) < len(stamps) or stream.time_base is None:
        return constant_timing(claimed[0], len(stamps)), None, _damage(source, found, broken)
    timing = measure_timing(known, stream.time_base, claimed, last_length)
    return timing, known[0] * stream.time_base, _damage(source, found, broken)


def _damage(source: VideoSource, found: int, broken: int) -> str:
    # Other formats have no index, or one that may be out of date.
    listed = source.stream.frames if "mp4" in source.container.format.name else 0
    if found < listed:
        return f"cut short: {found} of the {listed} frames that its index lists are there"
    return f"{broken} of {found} frames are cut off" if broken else ""
