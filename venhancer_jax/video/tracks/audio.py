"""Sound of a source: copied packet by packet, or decoded and encoded."""

import math
import struct
from contextlib import suppress
from fractions import Fraction

from av import AudioFrame, CodecContext, Packet
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.filter import Graph

from venhancer_jax.video.tracks.part import Part, Track, copy_tags, holds_negative_times

# What players of each container expect; Matroska takes what FFmpeg can put there.
_COPIED_CODECS = {
    "mp4": {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"},
    "mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_s16be"},
    "webm": {"opus", "vorbis"},
}
_LOSSLESS = ("pcm_", "flac", "alac", "wavpack", "tta")
_BIT_RATE_PER_CHANNEL = 96_000
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
_DEFAULT_RATE = 48000
_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
# Decoders need the sound before a cut to start cleanly; Opus asks for the most.
_LEAD = Fraction(80, 1000)


def add_audio(
    stream: AudioStream, output: OutputContainer, part: Part, first: Packet | None
) -> tuple[Track | None, str]:
    """Adds a sound stream to the output.

    A copied stream is cut at packets (about 20 ms), which MP4 and MOV trim to the exact time;
    elsewhere lossless codecs are encoded again, so that the cut is exact, too.

    Args:
      stream: sound stream of the source.
      output: container whose header is not written yet.
      part: range of time to copy.
      first: first packet of the stream, or None for a stream without one.

    Returns:
      Track, None where it has to be left out; and words on what is lost, if anything.
    """
    if stream.codec_context is None:
        return None, "its codec is unknown"
    codec = stream.codec_context.codec.canonical_name
    copied = _COPIED_CODECS.get(output.format.name)
    exact = holds_negative_times(output)
    if copied is None or codec in copied:
        is_cut_again = part.is_cut and not exact and codec.startswith(_LOSSLESS)
        with suppress(ValueError):  # Matroska has no place for this codec, or FFmpeg no encoder
            if is_cut_again:
                return _Encoded(stream, output, part, codec), ""
            return _Copied(stream, output, part, _lead(stream, first, exact)), ""
    lossless = "flac" if codec.startswith(_LOSSLESS) else "aac"
    codec = {"webm": "libopus", "matroska": lossless}.get(output.format.name, "aac")
    return _Encoded(stream, output, part, codec), f"encoded as {codec.removeprefix('lib')}"


class _Copied:
    """A stream whose packets are copied and only moved in time."""

    def __init__(
        self, stream: AudioStream, output: OutputContainer, part: Part, lead: Fraction
    ) -> None:
        self._stream = output.add_stream_from_template(stream, opaque=True)
        copy_tags(stream, self._stream)
        assert stream.time_base is not None
        self._output, self._part = output, part
        # Rounded as FFmpeg does: anything earlier would move all streams of a Matroska file.
        self._earliest = -math.floor(lead / stream.time_base + Fraction(1, 2))
        self._rate = stream.codec_context.sample_rate
        self._frame_size = stream.codec_context.frame_size
        # Matroska rounds times to milliseconds, which MP4 states in samples.
        self._is_rounded = holds_negative_times(output) and stream.time_base > Fraction(
            1, self._rate
        )
        self._expected: int | None = None

    def write(self, packet: Packet) -> None:
        begins, unit = self._part.begins(packet), packet.time_base
        if round(begins / unit) < self._earliest or begins >= self._part.end:
            return
        if self._is_rounded:
            length = self._frame_size or round((packet.duration or 0) * unit * self._rate)
            tick = round(begins * self._rate)
            if self._expected is not None and abs(tick - self._expected) <= unit * self._rate:
                tick = self._expected
            self._expected = tick + length
            packet.time_base, packet.duration = Fraction(1, self._rate), length
            packet.pts = packet.dts = tick
        else:
            packet.pts = packet.dts = round(begins / unit)
        packet.stream = self._stream
        self._output.mux(packet)

    def flush(self) -> None:
        pass


class _Encoded:
    """A stream that is decoded, cut to the sample, and encoded again."""

    def __init__(
        self, stream: AudioStream, output: OutputContainer, part: Part, codec: str
    ) -> None:
        source = stream.codec_context
        rate = source.sample_rate
        if codec == "libopus" or (codec == "aac" and rate not in _AAC_RATES):
            rate = _DEFAULT_RATE
        # Files may leave open which loudspeakers the channels are for.
        usual = _USUAL_LAYOUTS.get(source.channels, "stereo")
        layouts = (source.layout.name, usual, "stereo")
        layout = next((name for name in layouts if _can_encode(codec, rate, name)), "stereo")
        encoded = output.add_stream(codec, rate=rate)
        assert isinstance(encoded, AudioStream)
        encoded.codec_context.layout = layout
        if not codec.startswith(_LOSSLESS):
            channels = len(encoded.codec_context.layout.channels)
            encoded.codec_context.bit_rate = _BIT_RATE_PER_CHANNEL * max(2, channels)
        elif source.format.name in {each.name for each in encoded.codec.audio_formats or ()}:
            encoded.codec_context.format = source.format.name
        copy_tags(stream, encoded)
        self._stream, self._output, self._part = encoded, output, part
        self._rate = source.sample_rate
        self._graph: Graph | None = None

    def write(self, packet: Packet) -> None:
        try:
            frames = packet.decode()
        except FFmpegError:
            return
        for frame in frames:
            assert isinstance(frame, AudioFrame)
            if frame.pts is None or frame.time_base is None:
                continue
            begins = frame.pts * frame.time_base - self._part.origin
            if begins >= self._part.end:
                continue
            frame.time_base = Fraction(1, self._rate)
            frame.pts = round(begins * self._rate)
            self._filter(frame)

    def flush(self) -> None:
        if self._graph is not None:
            self._filter(None)
        self._output.mux(self._stream.encode(None))

    def _filter(self, frame: AudioFrame | None) -> None:
        if self._graph is None:
            assert frame is not None
            self._graph = _trimming(frame, self._part)
        self._graph.push(frame)
        while True:
            try:
                trimmed = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            assert isinstance(trimmed, AudioFrame)
            self._output.mux(self._stream.encode(trimmed))


def _trimming(frame: AudioFrame, part: Part) -> Graph:
    """Returns filters that cut samples before time 0 and behind the end, and fill gaps."""
    graph = Graph()
    source = graph.add_abuffer(
        sample_rate=frame.sample_rate,
        format=frame.format.name,
        layout=frame.layout.name,
        time_base=Fraction(1, frame.sample_rate),
    )
    end = "" if math.isinf(part.end) else f":end_pts={round(part.end * frame.sample_rate)}"
    # What is long before time 0 is dropped here, and the rest of it by the next filter.
    trim = graph.add("atrim", f"start_pts=-{10 * frame.sample_rate}{end}")
    fill = graph.add("aresample", "async=1:first_pts=0")
    sink = graph.add("abuffersink")
    graph.link_nodes(source, trim, fill, sink).configure()
    return graph


def _lead(stream: AudioStream, first: Packet | None, exact: bool) -> Fraction:
    """Returns the seconds before time 0 from which packets are kept.

    Matroska states for a whole stream how much of its beginning is not heard, so that as much has
    to be there.
    """
    if exact:
        return _LEAD
    context = stream.codec_context
    if context.codec.canonical_name == "opus" and len(context.extradata or b"") >= 12:
        assert context.extradata is not None
        return Fraction(struct.unpack_from("<H", context.extradata, 10)[0], 48000)
    if "matroska" in stream.container.format.name and first is not None and first.pts is not None:
        return max(Fraction(0), -first.pts * first.time_base)
    return Fraction(0)


def _can_encode(codec: str, rate: int, layout: str) -> bool:
    context = CodecContext.create(codec, "w")
    assert isinstance(context, AudioCodecContext)
    try:
        formats = context.codec.audio_formats
        if formats:
            context.format = formats[0]
        context.sample_rate, context.layout = rate, layout
        context.time_base = Fraction(1, rate)
        context.open()
    except (ValueError, FFmpegError):
        return False
    return True
