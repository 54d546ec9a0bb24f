"""A clip with every kind of stream and tag, for tests of what goes along with the pictures."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Disposition
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import SubtitleSet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from video.video_clips import level_frames, tone

_MILLISECOND = Fraction(1, 1000)
# The header that subtitle encoders ask for.
_STYLES = (
    b"[Script Info]\r\nScriptType: v4.00+\r\n\r\n[V4+ Styles]\r\nFormat: Name, Fontname, Fontsize,"
    b" PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline,"
    b" StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL,"
    b" MarginR, MarginV, Encoding\r\nStyle: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,"
    b"100,0,0,1,1,0,2,10,10,10,0\r\n\r\n[Events]\r\nFormat: Layer, Start, End, Style, Name,"
    b" MarginL, MarginR, MarginV, Effect, Text\r\n"
)


def small_png() -> bytes:
    """A grey PNG image of 8x8 pixels."""
    encoder = av.CodecContext.create("png", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.thread_count = 8, 8, "rgb24", 1
    picture = av.VideoFrame.from_ndarray(np.full((8, 8, 3), 99, np.uint8), format="rgb24")
    return b"".join(bytes(p) for p in encoder.encode(picture) + encoder.encode(None))


def make_rich_source(path: Path, seconds: int = 3) -> Path:
    """Matroska: pictures, two sounds, two subtitles, a font, a cover, chapters and tags.

    Second n has a chapter `Cn`, and subtitles `Line n` from 0.3 s to 1.1 s behind its start.
    """
    frames = (level_frames(24) * seconds)[: 24 * seconds]
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=24, options={"g": "12"})
        assert isinstance(pictures, VideoStream)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        pictures.metadata.update(language="jpn", title="Main")
        sounds = [
            _add_sound(container, codec, language)
            for codec, language in [("aac", "eng"), ("libopus", "fra")]
        ]
        sounds[0].disposition = Disposition.default
        sounds[1].disposition = Disposition.comment
        sounds[1].metadata["title"] = "Remarks"
        texts = [_add_text(container, codec) for codec in ("subrip", "ass")]
        container.add_attachment("a.ttf", "font/ttf", b"font" * 9)
        container.add_attachment("cover.png", "image/png", small_png())
        container.metadata.update(title="Film", SCANNER="CoolScan")
        container.set_chapters(
            [
                {
                    "id": n + 1,
                    "start": 1000 * n,
                    "end": 1000 * (n + 1),
                    "time_base": _MILLISECOND,
                    "metadata": {"title": f"C{n}"},
                }
                for n in range(seconds)
            ]
        )
        container.start_encoding()
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, 24)
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode(None))
        for sound in sounds:
            samples = av.AudioFrame.from_ndarray(tone(seconds), format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = 48000, 0, Fraction(1, 48000)
            container.mux(sound.encode(samples))
            container.mux(sound.encode(None))
        for text in texts:
            for n in range(seconds):
                line = b"%d,0,Default,,0,0,0,,{\\b1}Line{\\b0} %d" % (n, n)
                packet = text.codec_context.encode_subtitle(SubtitleSet.create(line, 0, 800))
                packet.time_base, packet.stream = _MILLISECOND, text
                packet.pts = packet.dts = 1000 * n + 300
                packet.duration = 800
                container.mux(packet)
    return path


def _add_sound(container: OutputContainer, codec: str, language: str) -> AudioStream:
    stream = container.add_stream(codec, rate=48000)
    assert isinstance(stream, AudioStream)
    stream.codec_context.layout = "mono"
    stream.metadata["language"] = language
    return stream


def _add_text(container: OutputContainer, codec: str) -> SubtitleStream:
    stream = container.add_stream(codec)
    assert isinstance(stream, SubtitleStream)
    stream.codec_context.subtitle_header = _STYLES
    stream.metadata["language"] = {"subrip": "eng", "ass": "fra"}[codec]
    return stream
