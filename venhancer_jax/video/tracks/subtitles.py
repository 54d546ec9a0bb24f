"""Subtitles of a source: moved, clipped to the part, and converted where need be."""

import math
from fractions import Fraction

from av import Packet
from av.container import OutputContainer
from av.error import FFmpegError
from av.subtitles.stream import SubtitleStream

from venhancer_jax.video.tracks.part import Part, Track, copy_tags

_TEXT_CODECS = {"subrip", "ass", "ssa", "webvtt", "mov_text", "text"}
# Per container: codecs that are copied, and the one to which other texts are converted.
_CONTAINERS = {
    "mp4": ({"mov_text", "dvd_subtitle"}, "mov_text"),
    "mov": ({"mov_text"}, "mov_text"),
    "matroska": (
        {"subrip", "ass", "ssa", "webvtt", "dvd_subtitle", "hdmv_pgs_subtitle", "dvb_subtitle"},
        "subrip",
    ),
    "webm": ({"webvtt"}, "webvtt"),
}


def add_subtitles(
    stream: SubtitleStream, output: OutputContainer, part: Part
) -> tuple[Track | None, str]:
    """Adds a subtitle stream to the output.

    Args:
      stream: subtitle stream of the source.
      output: container whose header is not written yet.
      part: range of time to copy.

    Returns:
      Track, None where it has to be left out; and words on what is lost, if anything.
    """
    if stream.codec_context is None:
        return None, "its codec is unknown"
    codec = stream.codec_context.codec.canonical_name
    copied, text = _CONTAINERS[output.format.name]
    if codec in copied:
        return _Subtitles(output.add_stream_from_template(stream, opaque=True), stream, part), ""
    if codec in _TEXT_CODECS:
        return _Converted(output, text, stream, part), f"converted to {text}"
    return None, "left out"


class _Subtitles:
    """A stream whose packets are copied, cut to the part."""

    def __init__(self, target: SubtitleStream, source: SubtitleStream, part: Part) -> None:
        copy_tags(source, target)
        self._target, self._part = target, part
        # Of pictures without a length the latest before the part is still shown at its start.
        self._waiting: Packet | None = None

    def write(self, packet: Packet) -> None:
        begins = self._part.begins(packet)
        length = (packet.duration or 0) * packet.time_base
        if begins < 0 and not length:
            self._waiting = packet
            return
        self._write_waiting()
        if begins >= self._part.end or (begins < 0 and begins + length <= 0):
            return
        self._write_at(packet, max(begins, Fraction(0)), begins + length if length else None)

    def flush(self) -> None:
        self._write_waiting()

    def _write_waiting(self) -> None:
        if self._waiting is not None:
            packet, self._waiting = self._waiting, None
            self._write_at(packet, Fraction(0), None)

    def _write_at(self, packet: Packet, begins: Fraction, ends: Fraction | None) -> None:
        converted = self._converted(packet)
        if converted is None:
            return
        unit = packet.time_base
        converted.time_base = unit
        converted.pts = converted.dts = round(begins / unit)
        if ends is not None:
            ends = ends if math.isinf(self._part.end) else min(ends, Fraction(self._part.end))
            converted.duration = max(1, round(ends / unit) - converted.pts)
        converted.stream = self._target
        container = self._target.container
        assert isinstance(container, OutputContainer)
        container.mux(converted)

    def _converted(self, packet: Packet) -> Packet | None:
        return packet


class _Converted(_Subtitles):
    """A stream of text that is decoded and encoded as another kind of text."""

    def __init__(
        self, output: OutputContainer, codec: str, source: SubtitleStream, part: Part
    ) -> None:
        target = output.add_stream(codec)
        assert isinstance(target, SubtitleStream)
        self._decoder = source.codec_context
        self._decoder.open(strict=False)
        target.codec_context.subtitle_header = self._decoder.subtitle_header
        super().__init__(target, source, part)

    def _converted(self, packet: Packet) -> Packet | None:
        try:
            shown = self._decoder.decode2(packet)
            if shown is None or not len(shown):
                return None
            return self._target.codec_context.encode_subtitle(shown)
        except FFmpegError:
            return None
