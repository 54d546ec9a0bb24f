"""Joining segments into one video by copying their compressed pictures."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path

import av
from av import Packet
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from venhancer_jax.errors import InputError
from venhancer_jax.video.tracks.copier import TrackCopier, Tracks
from venhancer_jax.video.writing.encoders import ENCODERS, set_tags, stored_format, tag_for_players
from venhancer_jax.video.writing.encoding import Encoding
from venhancer_jax.video.writing.image_folder import link_images
from venhancer_jax.video.writing.segment_file import broken_segment, list_ticks

_log = logging.getLogger(__name__)

# FFmpeg's MP4 doubles the ticks per second of pictures until there are so many.
_FEWEST_TICKS = 10_000

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}


def join_segments(
    target: Path,
    segments: Sequence[tuple[Path, int]],
    encoding: Encoding,
    *,
    suffix: str,
    tracks: Tracks | None = None,
    end: int | None = None,
) -> None:
    """Writes segments as one video, with the timestamps of one that was encoded in one go.

    One segment is open at a time, and segments stay as they are. Equal segments give equal bytes.

    Args:
      target: new file of any name or, for images, empty folder.
      segments: files of `SegmentFile` and the ticks of their first pictures, ascending from 0.
      encoding: codec, size and clock with which all segments were written.
      suffix: suffix of the final name, which decides the container: one of `FORMATS`; unused for
        images.
      tracks: part of a source whose other streams are copied, or None.
      end: tick at which the last picture ends; None for a frame after its beginning.

    Raises:
      InputError: a segment is not whole, was written with another encoding, or overlaps the next.
      OSError: the video cannot be stored.
    """
    if encoding.codec not in ENCODERS:
        if tracks is not None:
            _log.warning("%s: a folder of images holds no sound and no other stream", tracks.source)
        link_images(Path(target), [path for path, _ in segments])
        return
    # Neither dates nor random identifiers: equal segments give equal bytes.
    options = {"fflags": "+bitexact"}
    container_format = FORMATS[suffix.lower()]
    if container_format in ("mp4", "mov"):
        options["movflags"] = "+faststart"
        options["movie_timescale"] = str(_movie_timescale(encoding.time_base))
    list_ticks(segments[0][0])  # before anything of a broken segment is used
    if end is None:
        path, start = segments[-1]
        end = start + max(_ticks(path, encoding)) + encoding.frame_ticks
    container = av.open(f"file:{target}", "w", format=container_format, container_options=options)
    others: TrackCopier | None = None
    try:
        with _open_segment(segments[0][0]) as segment:
            template = segment.streams.video[0]
            stream = _add_copied_stream(container, template, encoding)
            parameter_sets = template.codec_context.extradata
        if tracks is not None:
            others = TrackCopier(tracks, container, stream, end * encoding.time_base)
        _copy(container, stream, _packets(segments, encoding, end, parameter_sets), end, others)
        container.close()
        if others is not None:
            others.check_tags(Path(target))
    except BaseException:
        with suppress(OSError, ValueError):
            container.close()
        raise
    finally:
        if others is not None:
            others.close()


def _movie_timescale(time_base: Fraction) -> int:
    """Returns the ticks per second in which FFmpeg counts the pictures of an MP4 or MOV file.

    The file stores its own length in others, milliseconds unless told, to which players cut it.

    Args:
      time_base: seconds per tick of the pictures.
    """
    ticks = time_base.denominator
    while ticks < _FEWEST_TICKS:
        ticks *= 2
    return ticks


def _copy(
    container: OutputContainer,
    stream: VideoStream,
    packets: Iterator[Packet],
    end: int,
    others: TrackCopier | None,
) -> None:
    first: int | None = None
    for packet, following in pairwise(chain(packets, [None])):
        assert packet is not None and packet.pts is not None and packet.dts is not None
        first = packet.dts if first is None else first
        # Other streams go along, so that the muxer never holds much of any.
        if others is not None:
            others.advance(packet.pts * packet.time_base)
        if following is None and container.format.name in ("mp4", "mov"):
            # Whose length is that of all decoding steps; this picture need not be shown last.
            packet.duration = end - (packet.dts - first)
        packet.stream = stream
        container.mux(packet)
    if others is not None:
        others.finish()


def _add_copied_stream(
    container: OutputContainer, template: VideoStream, encoding: Encoding
) -> VideoStream:
    stream = container.add_stream_from_template(template, opaque=True)
    # FFmpeg's Matroska stores the length of a frame, where there is one.
    stream.codec_context.framerate = encoding.rate or Fraction(0)
    stream.time_base = encoding.time_base
    set_tags(stream, stored_format(encoding))  # which not every segment stores
    tag_for_players(stream, encoding)
    if encoding.codec == "prores":
        # The tag is the profile, which players do not look for elsewhere.
        stream.codec_context.codec_tag = template.codec_context.codec_tag
    return stream


def _packets(
    segments: Sequence[tuple[Path, int]],
    encoding: Encoding,
    end: int,
    parameter_sets: bytes | None,
) -> Iterator[Packet]:
    """Yields the pictures of all segments with their times in the joined video."""
    delay = _decoding_delay(segments, encoding)
    for index, (path, first) in enumerate(segments):
        ticks = [first + tick for tick in _ticks(path, encoding)]
        shown = sorted(ticks)
        following = end if index + 1 == len(segments) else segments[index + 1][1]
        if following <= shown[-1]:
            raise InputError(
                f"{path}: its last picture is shown at tick {shown[-1]}, but the next part begins"
                f" at {following}. Start the run from the beginning."
            )
        lengths = {a: b - a for a, b in pairwise([*shown, following])}
        with _open_segment(path) as container:
            stream = container.streams.video[0]
            if stream.codec_context.extradata != parameter_sets:
                raise InputError(
                    f"{path}: was encoded with other settings than the parts before it. Start the"
                    " run from the beginning."
                )
            packets = (packet for packet in container.demux(stream) if packet.size)
            for packet, tick, decoded in zip(packets, ticks, shown, strict=True):
                packet.pts, packet.dts = tick, decoded - delay
                packet.duration, packet.time_base = lengths[tick], encoding.time_base
                yield packet


def _decoding_delay(segments: Sequence[tuple[Path, int]], encoding: Encoding) -> int:
    """Returns the ticks by which the n-th picture is decoded before the n-th one is shown.

    They are the same for all pictures, so that the decoding steps take as long as the video. No
    picture is decoded after it is shown.
    """
    pictures = ENCODERS[encoding.codec].reorder_delay
    if encoding.rate is not None or not pictures:
        return pictures * encoding.frame_ticks
    orders = (_ticks(path, encoding) for path, _ in segments)
    return max(
        shown - tick for ticks in orders for tick, shown in zip(ticks, sorted(ticks), strict=True)
    )


def _ticks(path: Path, encoding: Encoding) -> list[int]:
    """Lists the ticks of a segment's pictures in decoding order, in the time base of the video."""
    ticks, time_base = list_ticks(path)
    scaled = [tick * time_base / encoding.time_base for tick in ticks]
    if any(tick.denominator != 1 for tick in scaled):
        raise InputError(
            f"{path}: was encoded with another clock than 1/{1 / encoding.time_base} s. Start the"
            " run from the beginning."
        )
    return [int(tick) for tick in scaled]


@contextmanager
def _open_segment(path: Path) -> Iterator[InputContainer]:
    try:
        container = av.open(f"file:{path}", "r")
    except (FFmpegError, OSError) as error:
        raise broken_segment(path) from error
    with container:
        if not container.streams.video:
            raise broken_segment(path)
        yield container
