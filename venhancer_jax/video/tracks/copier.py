"""All that a source holds besides its pictures, cut and moved to the start of another video.

Sound, subtitles, chapters, attachments, cover pictures, and the tags of the file and its streams.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av import Packet
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.stream import AttachmentStream, Discard, Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from venhancer_jax.errors import InputError
from venhancer_jax.video.tracks.audio import add_audio
from venhancer_jax.video.tracks.extras import add_attachment, add_cover, set_chapters
from venhancer_jax.video.tracks.part import Part, Track, content_tags, copy_tags
from venhancer_jax.video.tracks.subtitles import add_subtitles

_log = logging.getLogger(__name__)

# Nearby packets are found without a seek; the margin covers lead packets and coarse indexes.
_SEEK_MARGIN = 5
# Subtitles are shown for long.
_SUBTITLE_MARGIN = 60
# One stream may reach the end in the file well ahead of another.
_INTERLEAVING_MARGIN = 2
# Packets among which the first ones of all streams are found.
_FIRST_PACKETS = 1000


@dataclass(frozen=True)
class Tracks:
    """Part of a source whose streams besides the pictures are copied.

    Attributes:
      source: video whose streams are copied.
      start: seconds after the first picture of the source at which the part begins.
      duration: seconds of the part; infinite for all that is left of the source; None for as long
        as the written pictures last.
      picture_start: presentation time in seconds of the first picture, None for the time that the
        container states.
    """

    source: Path
    start: Fraction = Fraction(0)
    duration: Fraction | float | None = None
    picture_start: Fraction | None = None


def check_source(tracks: Tracks) -> None:
    """Checks that the source can be opened.

    Args:
      tracks: part of a source.

    Raises:
      InputError: the source is missing or not a video.
    """
    _open(tracks.source).close()


class TrackCopier:
    """Copier of the streams of a source into a video that is being written.

    Streams are copied where the container supports their codec, and else converted; what it cannot
    hold is left out. Both are logged as a warning.
    """

    def __init__(
        self, tracks: Tracks, output: OutputContainer, pictures: VideoStream, length: Fraction
    ) -> None:
        """Opens the source, and adds its streams and tags to the output.

        Args:
          tracks: part of a source.
          output: container whose header is not written yet.
          pictures: picture stream of the output.
          length: length of the pictures in seconds.

        Raises:
          InputError: the source cannot be opened.
        """
        self._source = tracks.source
        self._input = _open(tracks.source)
        try:
            shown = _shown_pictures(self._input)
            duration = length if tracks.duration is None else tracks.duration
            self._part = Part(
                origin=_first_picture(self._input, shown, tracks.picture_start) + tracks.start,
                end=duration if math.isinf(duration) else Fraction(duration),
                is_cut=tracks.start > 0,
            )
            self._tracks: dict[int, Track] = {}
            # Covers are written first; their packets are at no time of the source.
            self._covers: list[tuple[Track, Packet]] = []
            self._container = output.format.name
            self._add_streams(output, shown, _first_packets(tracks.source))
            if shown is not None:
                copy_tags(shown, pictures)
            output.metadata.update(content_tags(self._input.metadata))
            set_chapters(self._input, output, self._part)
            self._packets = self._demux()
            self._next = next(self._packets, None)
        except BaseException:
            self.close()
            raise

    def advance(self, until: Fraction | float) -> None:
        """Writes the next part of all streams.

        Args:
          until: time of the output in seconds at which to stop.
        """
        for cover, packet in self._covers:
            cover.write(packet)
        self._covers.clear()
        while self._next is not None and self._part.begins(self._next) < until:
            self._tracks[self._next.stream.index].write(self._next)
            self._next = next(self._packets, None)

    def finish(self) -> None:
        """Writes the rest of all streams, up to the end of the part."""
        self.advance(self._part.end + _INTERLEAVING_MARGIN)
        for track in self._tracks.values():
            track.flush()

    def check_tags(self, target: Path) -> None:
        """Logs the tags that the container does not hold as a warning.

        Args:
          target: finished output.
        """
        with av.open(f"file:{target}", "r", metadata_errors="replace") as written:
            held = {name.lower() for name in written.metadata}
            tags = content_tags(self._input.metadata)
            missing = [name for name in tags if name.lower() not in held]
            streams = (*written.streams.audio, *written.streams.subtitles)
            kept = [self._input.streams[index] for index in self._tracks]
            kept.sort(key=lambda stream: stream.type)  # sound before subtitles
            for source, stream in zip(kept, streams, strict=False):
                if source.language not in (None, "und", stream.language):
                    missing.append(f"language of {_name(source)}")
        if missing:
            _log.warning(
                "%s: %s cannot hold these tags: %s",
                self._source,
                self._container,
                ", ".join(missing),
            )

    def close(self) -> None:
        """Closes the source."""
        self._input.close()

    def _add_streams(
        self, output: OutputContainer, shown: VideoStream | None, firsts: dict[int, Packet]
    ) -> None:
        notes = []
        for stream in self._input.streams:
            track, note = None, ""
            first = firsts.get(stream.index)
            if stream is shown:
                continue
            if isinstance(stream, AudioStream):
                track, note = add_audio(stream, output, self._part, first)
            elif isinstance(stream, SubtitleStream):
                track, note = add_subtitles(stream, output, self._part)
            elif isinstance(stream, AttachmentStream):
                note = "" if add_attachment(stream, output) else "left out"
            elif isinstance(stream, VideoStream) and _is_cover(stream):
                cover, is_held = add_cover(stream, output, first)
                note = "" if is_held else "left out"
                if cover is not None and first is not None:
                    self._covers.append((cover, first))
            elif not (stream.type == "data" and self._input.chapters()):
                note = "left out"
            if track is not None:
                self._tracks[stream.index] = track
            if note:
                notes.append(f"{_name(stream)}: {note}")
        if notes:
            advice = " An output whose name ends in .mkv holds the most."
            _log.warning(
                "%s: %s cannot hold all of its streams as they are: %s.%s",
                self._source,
                self._container,
                "; ".join(notes),
                "" if self._container == "matroska" else advice,
            )

    def _demux(self) -> Iterator[Packet]:
        streams = [self._input.streams[index] for index in self._tracks]
        if not streams:
            return
        for stream in self._input.streams:
            if stream.index not in self._tracks:
                stream.discard = Discard.all
        has_text = any(isinstance(stream, SubtitleStream) for stream in streams)
        target = self._part.origin - (_SUBTITLE_MARGIN if has_text else _SEEK_MARGIN)
        if target * av.time_base > (self._input.start_time or 0):
            try:
                self._input.seek(int(target * av.time_base))
            except FFmpegError:
                self._input.seek(0)
        try:
            for packet in self._input.demux(*streams):
                if packet.size and packet.pts is not None:
                    yield packet
        except FFmpegError as error:
            _log.warning("%s: sound and subtitles break off (%s)", self._source, error.strerror)


def _open(source: Path) -> InputContainer:
    try:
        return av.open(source.open("rb"), "r", metadata_errors="replace")
    except FFmpegError as error:
        raise InputError(f"{source}: its sound cannot be read ({error.strerror}).") from error
    except OSError as error:
        raise InputError(f"{source}: cannot be opened ({error.strerror}).") from error


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _shown_pictures(source: InputContainer) -> VideoStream | None:
    return next((stream for stream in source.streams.video if not _is_cover(stream)), None)


def _first_picture(
    source: InputContainer, shown: VideoStream | None, known: Fraction | None
) -> Fraction:
    if known is not None:
        return known
    for stream in (shown, *source.streams.audio):
        if stream is not None and stream.start_time is not None and stream.time_base is not None:
            return stream.start_time * stream.time_base
    return Fraction(0)


def _first_packets(source: Path) -> dict[int, Packet]:
    """Returns the first packets of sound streams and covers by the index of their stream."""
    firsts: dict[int, Packet] = {}
    with _open(source) as container:
        streams = [
            stream
            for stream in container.streams
            if isinstance(stream, AudioStream)
            or (isinstance(stream, VideoStream) and _is_cover(stream))
        ]
        if not streams:
            return firsts
        for stream in container.streams:
            if stream not in streams:
                stream.discard = Discard.all
        try:
            for count, packet in enumerate(container.demux(*streams)):
                if packet.size:
                    firsts.setdefault(packet.stream.index, packet)
                if len(firsts) == len(streams) or count == _FIRST_PACKETS:
                    break
        except FFmpegError:
            pass
    return firsts


def _name(stream: Stream) -> str:
    """Returns words that distinguish a stream, such as `subtitle stream 3 (ass, deu)`."""
    context = stream.codec_context
    codec = context.codec.canonical_name if context is not None else stream.name
    facts = ", ".join(fact for fact in (codec, stream.language) if fact not in (None, "und"))
    return f"{stream.type} stream {stream.index}" + (f" ({facts})" if facts else "")
