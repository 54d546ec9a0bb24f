"""Copying the sound of a source video to the written one."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av import AudioFrame, Packet
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError

from venhancer_jax.errors import InputError

# What players of each container expect; Matroska takes all that the source can hold.
_COPIED_CODECS = {
    "mp4": {"aac", "mp3", "ac3", "eac3", "alac"},
    "mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"},
    "webm": {"opus", "vorbis"},
}
_BIT_RATE = 192_000
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
_DEFAULT_RATE = 48000
# Decoders need the packets before the cut to start cleanly. MP4 and MOV can hold them unheard.
_LEAD_PACKETS = 2
# Nearby packets are found without a seek; the margin covers the lead packets and coarse indexes.
_SEEK_MARGIN = 5
_INTERLEAVING_MARGIN = 2


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """Part of a source whose streams besides the pictures are copied.

    Attributes:
      source: video whose streams are copied.
      start: seconds after the first picture of the source at which the part begins.
      duration: seconds of the part; infinite for all that is left of the source; None for as long
        as the written pictures last.
    """

    source: Path
    start: Fraction = Fraction(0)
    duration: float | None = None


class AudioTracks:
    """All sound streams of a video, cut and moved to the start of another one.

    Streams are copied where the container supports their codec, else encoded as AAC (Opus for
    WebM). A copied stream is cut at packets (about 20 ms); MP4 and MOV start exactly.
    """

    def __init__(self, tracks: Tracks, output: OutputContainer) -> None:
        """Opens the source and adds its streams to the output.

        Args:
          tracks: part of a source.
          output: container whose header is not written yet.

        Raises:
          InputError: the source cannot be opened.
        """
        self._end = tracks.duration
        self._input = _open(tracks.source)
        # Streams of unknown codecs have no decoder and cannot be distinguished from garbage.
        streams = [s for s in self._input.streams.audio if s.codec_context is not None]
        origin = self._first_picture_time() + tracks.start
        limit = math.inf if self._end is None else self._end
        self._tracks = {s.index: _track(s, output, origin, limit) for s in streams}
        self._packets = self._demux(streams, origin)
        self._next = next(self._packets, None)

    def advance(self, until: float) -> None:
        """Writes the next part of the sound.

        Args:
          until: time of the output in seconds at which to stop.
        """
        while self._next is not None and self._time(self._next) < until:
            self._tracks[self._next.stream.index].write(self._next)
            self._next = next(self._packets, None)

    def finish(self, video_duration: float) -> None:
        """Writes the rest of the sound, up to the requested duration or to the end of the pictures.

        Args:
          video_duration: length of the pictures in seconds.
        """
        end = video_duration if self._end is None else self._end
        for track in self._tracks.values():
            track.end = end
        # One stream may reach the end in the file well ahead of another.
        self.advance(end + _INTERLEAVING_MARGIN)
        for track in self._tracks.values():
            track.flush()

    def close(self) -> None:
        """Closes the source."""
        self._input.close()

    def _first_picture_time(self) -> Fraction:
        for stream in (*self._input.streams.video, *self._input.streams.audio):
            if stream.start_time is not None and stream.time_base is not None:
                return stream.start_time * stream.time_base
        return Fraction(0)

    def _demux(self, streams: list[AudioStream], origin: Fraction) -> Iterator[Packet]:
        if not streams:
            return
        if origin > _SEEK_MARGIN:
            try:
                self._input.seek(int((origin - _SEEK_MARGIN) * av.time_base))
            except FFmpegError:
                self._input.seek(0)
        try:
            for packet in self._input.demux(tuple(streams)):
                if packet.size and packet.pts is not None:
                    yield packet
        except FFmpegError:
            # The source breaks off here; so does its sound.
            return

    def _time(self, packet: Packet) -> float:
        assert packet.pts is not None
        track = self._tracks[packet.stream.index]
        return float(packet.pts * packet.time_base - track.origin)


def check_source(tracks: Tracks) -> None:
    """Checks that the source can be opened.

    Raises:
      InputError: it is missing or not a video.
    """
    _open(tracks.source).close()


class _CopiedTrack:
    """A stream whose packets are copied and only moved in time."""

    def __init__(
        self, stream: AudioStream, output: OutputContainer, origin: Fraction, end: float
    ) -> None:
        self.origin, self.end = origin, end
        self._output = output
        self._stream = output.add_stream_from_template(stream)
        assert stream.time_base is not None
        self._offset = round(origin / stream.time_base)
        self._keeps_lead = output.format.name in ("mp4", "mov")

    def write(self, packet: Packet) -> None:
        assert packet.pts is not None
        length = packet.duration or 0
        packet.pts -= self._offset
        packet.dts = packet.pts
        # Without a lead the packet nearest to the cut is the first.
        earliest = -_LEAD_PACKETS * length if self._keeps_lead else -length / 2
        if packet.pts < earliest or float(packet.pts * packet.time_base) >= self.end:
            return
        if not self._keeps_lead:
            packet.pts = packet.dts = max(packet.pts, 0)
        packet.stream = self._stream
        self._output.mux(packet)

    def flush(self) -> None:
        pass


class _EncodedTrack:
    """A stream that is decoded and encoded again."""

    def __init__(
        self, stream: AudioStream, output: OutputContainer, origin: Fraction, end: float
    ) -> None:
        self.origin, self.end = origin, end
        self._output = output
        source = stream.codec_context
        if output.format.name == "webm":
            codec, rate = "libopus", _DEFAULT_RATE
        else:
            codec = "aac"
            rate = source.sample_rate if source.sample_rate in _AAC_RATES else _DEFAULT_RATE
        encoded = output.add_stream(codec, rate=rate)
        assert isinstance(encoded, AudioStream)
        encoded.codec_context.layout = source.layout.name
        encoded.codec_context.bit_rate = _BIT_RATE
        self._stream = encoded

    def write(self, packet: Packet) -> None:
        try:
            frames = packet.decode()
        except FFmpegError:
            return
        for frame in frames:
            self._encode(frame)

    def _encode(self, frame: AudioFrame) -> None:
        if frame.pts is None or frame.time_base is None:
            return
        begins = frame.pts * frame.time_base - self.origin
        if begins < -Fraction(frame.samples, 2 * frame.sample_rate) or begins >= self.end:
            return
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = max(0, round(begins * frame.sample_rate))
        self._output.mux(self._stream.encode(frame))

    def flush(self) -> None:
        self._output.mux(self._stream.encode(None))


def _track(
    stream: AudioStream, output: OutputContainer, origin: Fraction, end: float
) -> _CopiedTrack | _EncodedTrack:
    codec = stream.codec_context.codec.canonical_name
    copied = _COPIED_CODECS.get(output.format.name)
    kind = _CopiedTrack if copied is None or codec in copied else _EncodedTrack
    return kind(stream, output, origin, end)


def _open(source: Path) -> InputContainer:
    try:
        return av.open(source.open("rb"), "r")
    except FFmpegError as error:
        raise InputError(f"{source}: its sound cannot be read ({error.strerror}).") from error
    except OSError as error:
        raise InputError(f"{source}: cannot be opened ({error.strerror}).") from error
