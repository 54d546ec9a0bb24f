"""Cases of sound, subtitles, chapters, attachments and tags."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.stream import Stream
from av.subtitles.subtitle import SubtitleSet

from benchmarks.media.cases import Case
from benchmarks.media.inputs import flash_frames, make_video, tone, write_picture

NTSC = Fraction(30000, 1001)
MS = Fraction(1, 1000)
# A flash and a beep 0.4 s behind the start of clips of 1.5 s.
_FRAMES, _FLASH = 36, Fraction(2, 5)
_RATE = Fraction(30)
# The header that encoders of subtitles ask for.
_STYLES = (
    "[Script Info]\r\nScriptType: v4.00+\r\n\r\n[V4+ Styles]\r\nFormat: Name, Fontname, Fontsize,"
    " PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline,"
    " StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL,"
    " MarginR, MarginV, Encoding\r\nStyle: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,"
    "100,0,0,1,1,0,2,10,10,10,0\r\n\r\n[Events]\r\nFormat: Layer, Start, End, Style, Name,"
    " MarginL, MarginR, MarginV, Effect, Text\r\n"
)


def _sounding(
    folder: Path, name: str, codec: str, seconds: float = 1.2, tracks: int = 1, **options: Any
) -> Path:
    """A clip of 1.2 s with a flash and a beep at 0.4 s."""
    return make_video(
        folder / name,
        flash_frames(_FRAMES, round(_FLASH * _RATE)),
        rate=_RATE,
        options={"crf": "0", "g": "6", "preset": "ultrafast"},
        sounds=[tone(seconds, silent_before=float(_FLASH))] * tracks,
        sound_codec=codec,
        **options,
    )


def _sound_case(name: str, source: str, codec: str, output: str, stream: str, **more: Any) -> Case:
    """A clip whose sound comes out in sync, in the codec that the output can hold."""
    return Case(
        name,
        partial(_sounding, name=source, codec=codec),
        {"frames": _FRAMES, "rate": _RATE, "streams": ("video:h264", f"audio:{stream}")},
        output=output,
        **more,
    )


def _with(
    folder: Path, add: Callable[[OutputContainer], Callable[[], None]], seconds: float = 1.2
) -> Path:
    """Copies a clip to Matroska, with more streams.

    Args:
      folder: empty folder.
      add: function that adds streams to the output and returns one that writes their packets.
      seconds: length of the sound.
    """
    source, target = _sounding(folder, "plain.mkv", "aac", seconds), folder / "in.mkv"
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        streams = {stream.index: _copied(new, stream) for stream in old.streams}
        write = add(new)
        new.start_encoding()
        _copy(old, new, streams)
        write()
    source.unlink()
    return target


def _copied(output: OutputContainer, stream: Stream) -> Stream:
    return output.add_stream_from_template(stream, opaque=True)


def _copy(source: InputContainer, output: OutputContainer, streams: dict[int, Stream]) -> None:
    for packet in source.demux():
        if packet.size:
            packet.stream = streams[packet.stream.index]
            output.mux(packet)


def _texts(output: OutputContainer, codecs: tuple[str, ...]) -> Callable[[], None]:
    """A line from 0.2 to 0.8 s, and another from 0.9 to 1.1 s, in each codec."""
    streams: list[Any] = [output.add_stream(codec) for codec in codecs]
    for stream in streams:
        stream.codec_context.subtitle_header = _STYLES.encode()
        stream.metadata["language"] = "fra"

    def write() -> None:
        for stream in streams:
            for number, (begin, end) in enumerate([(200, 800), (900, 1100)]):
                line = f"{number},0,Default,,0,0,0,,Line {number}".encode()
                text = SubtitleSet.create(line, 0, end - begin)
                packet = stream.codec_context.encode_subtitle(text)
                packet.time_base, packet.duration, packet.stream = MS, end - begin, stream
                packet.pts = packet.dts = begin
                output.mux(packet)

    return write


def _bitmaps(output: OutputContainer) -> Callable[[], None]:
    """Subtitles as pictures, of which two are shown: a composition without objects and its end."""
    stream = output.add_mux_stream("hdmv_pgs_subtitle", time_base=MS)

    def write() -> None:
        for begin in (200, 900):
            packet = av.Packet(b"\x16\x00\x0b" + bytes(11) + b"\x80\x00\x00")
            packet.time_base, packet.stream = MS, stream
            packet.pts = packet.dts = begin
            output.mux(packet)

    return write


def _extras(output: OutputContainer, folder: Path) -> Callable[[], None]:
    """Three chapters, a font, a cover and a title."""
    cover = write_picture(folder / "c.png", np.full((8, 8, 3), 99, np.uint8), "png", "rgb24")
    output.add_attachment("a.ttf", "font/ttf", b"font")
    output.add_attachment("cover.png", "image/png", cover.read_bytes())
    cover.unlink()
    output.metadata.update(title="Film", SCANNER="CoolScan")
    output.set_chapters(
        [
            {"id": n + 1, "start": 400 * n, "end": 400 * (n + 1), "time_base": MS,
             "metadata": {"title": f"C{n}"}}
            for n in range(3)
        ]
    )  # fmt: skip
    return lambda: None


def _rich(folder: Path) -> Path:
    return _with(folder, lambda output: _extras(output, folder))


def _surround(folder: Path) -> Path:
    """Six channels, with the beep in each."""
    source = make_video(
        folder / "plain.mkv", flash_frames(_FRAMES, round(_FLASH * _RATE)), rate=_RATE
    )
    target = folder / "in.mkv"
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        pictures = _copied(new, old.streams.video[0])
        sound: Any = new.add_stream("flac", rate=48000)
        sound.codec_context.layout = "5.1"
        new.start_encoding()
        _copy(old, new, {0: pictures})
        samples = np.repeat(tone(1.2, silent_before=float(_FLASH)), 6, axis=0)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="5.1")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        new.mux(sound.encode(frame) + sound.encode(None))
    source.unlink()
    return target


def _timecode(folder: Path) -> Path:
    """A QuickTime file with a timecode track."""
    return _sounding(
        folder,
        "in.mov",
        "aac",
        timecode="01:00:00:00",
    )


def _titled(found: dict[str, str]) -> bool:
    """The title Film."""
    return found.get("title") == "Film"


_CHAPTERS = ((0.0, 0.4), (0.4, 0.8), (0.8, 1.2))
_LATER = {"start_time": "0.2", "max_frames": "24"}

CASES = [
    _sound_case("aac with its delay, mp4 to mp4", "in.mp4", "aac", "out.mp4", "aac"),
    _sound_case("aac with its delay, mp4 to mkv", "in.mp4", "aac", "out.mkv", "aac"),
    _sound_case("aac with its delay, mkv to mp4", "in.mkv", "aac", "out.mp4", "aac"),
    _sound_case("aac with its delay, mkv to mov", "in.mkv", "aac", "out.mov", "aac"),
    _sound_case("aac of a broadcast", "in.ts", "aac", "out.mp4", "aac"),
    Case("mp3 in avi",
         lambda folder: make_video(
             folder / "in.avi", flash_frames(_FRAMES, round(_FLASH * _RATE)), rate=_RATE,
             codec="mpeg4", options={"b": "4M"}, sounds=[tone(1.2, silent_before=float(_FLASH))],
             sound_codec="libmp3lame",
         ),
         {"frames": _FRAMES, "streams": ("video:h264", "audio:mp3float")}),
    _sound_case("opus, mkv to mp4", "in.mkv", "libopus", "out.mp4", "opus"),
    _sound_case("opus, mp4 to mp4", "in.mp4", "libopus", "out.mp4", "opus"),
    _sound_case("opus, mp4 to mkv", "in.mp4", "libopus", "out.mkv", "opus"),
    _sound_case("opus to mov, encoded", "in.mkv", "libopus", "out.mov", "aac",
                message="encoded as aac"),
    _sound_case("flac, mkv to mp4", "in.mkv", "flac", "out.mp4", "flac"),
    _sound_case("pcm, mov to mp4, encoded", "in.mov", "pcm_s16le", "out.mp4", "aac",
                message="encoded as aac"),
    _sound_case("pcm that mkv does not hold, to flac", "in.mov", "pcm_mulaw", "out.mkv", "flac",
                message="encoded as flac"),
    _sound_case("pcm, mov to mov", "in.mov", "pcm_s16le", "out.mov", "pcm_s16le"),
    *(
        Case(f"{codec} from 0.2 s on, to {output[4:]}",
             partial(_sounding, name="in.mkv", codec=codec),
             {"frames": 24, "rate": _RATE, "seconds": 0.8, "streams": ("video:h264", stream)},
             _LATER, output, tolerance=0.001)
        for codec, stream, output in [
            ("aac", "audio:aac", "out.mp4"), ("aac", "audio:aac", "out.mkv"),
            ("flac", "audio:flac", "out.mkv"), ("libopus", "audio:opus", "out.mp4"),
        ]
    ),
    Case("two sounds", partial(_sounding, name="in.mp4", codec="aac", tracks=2),
         {"frames": _FRAMES, "streams": ("video:h264", "audio:aac", "audio:aac")}),
    Case("six channels", _surround, {"streams": ("video:h264", "audio:aac")},
         {"codec": "h264"}, "out.mov", message="encoded as aac"),
    Case("sound longer than the pictures",
         partial(_sounding, name="in.mp4", codec="aac", seconds=2.0),
         {"frames": _FRAMES, "seconds": Fraction(_FRAMES) / _RATE}),
    Case("sound shorter than the pictures",
         partial(_sounding, name="in.mp4", codec="aac", seconds=0.7),
         {"frames": _FRAMES, "seconds": Fraction(_FRAMES) / _RATE}),
    Case("to webm", partial(_sounding, name="in.mp4", codec="aac"),
         {"streams": ("video:libdav1d", "audio:opus"), "frames": _FRAMES},
         {"codec": "av1"}, "out.webm"),
    Case("subtitles of two kinds to mkv",
         lambda folder: _with(folder, lambda output: _texts(output, ("subrip", "ass"))),
         {"streams": ("video:h264", "audio:aac", "subtitle:srt", "subtitle:ssa")},
         output="out.mkv"),
    Case("subtitles of two kinds to mp4",
         lambda folder: _with(folder, lambda output: _texts(output, ("subrip", "ass"))),
         {"streams": ("video:h264", "audio:aac", "subtitle:mov_text", "subtitle:mov_text")},
         message="converted to mov_text"),
    Case("subtitles as pictures to mkv", lambda folder: _with(folder, _bitmaps),
         {"streams": ("video:h264", "audio:aac", "subtitle:pgssub")}, output="out.mkv"),
    Case("subtitles as pictures to mp4, left out", lambda folder: _with(folder, _bitmaps),
         {"streams": ("video:h264", "audio:aac")}, message="hdmv_pgs_subtitle): left out"),
    Case("chapters, font, cover and tags to mkv", _rich,
         {"streams": ("video:h264", "audio:aac", "attachment:?", "video:png"),
          "chapters": _CHAPTERS, "metadata": _titled}, output="out.mkv"),
    Case("chapters, cover and tags to mp4, font left out", _rich,
         {"streams": ("video:h264", "audio:aac", "data:?", "video:png"),
          "chapters": _CHAPTERS, "metadata": _titled}, message="(a.ttf): left out"),
    Case("chapters cut with the pictures", _rich,
         {"chapters": ((0.0, 0.2), (0.2, 0.6), (0.6, 0.8))}, _LATER, tolerance=0.001),
    Case("tag that mp4 does not hold", _rich, {"metadata": _titled}, message="these tags: SCANNER"),
    Case("timecode track, left out", _timecode, {"streams": ("video:h264", "audio:aac")},
         message="data stream 2"),
]  # fmt: skip
