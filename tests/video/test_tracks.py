"""All that a source holds goes along: cut to the part, and named where it is lost."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition
from video.carried import carry, samples
from video.rich_source import make_rich_source, small_png
from video.video_clips import level_frames


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rich_source(tmp_path_factory.mktemp("rich") / "s.mkv")


def _texts(path: Path) -> dict[str, list[tuple[float, float, str]]]:
    """Start, end and words of the subtitles of each language; empty ones only end another."""
    found: dict[str, list[tuple[float, float, str]]] = {}
    with av.open(str(path)) as container:
        for packet in container.demux(*container.streams.subtitles):
            words = re.search(r"Line(</b>|\{\\b0\})? (\d)", bytes(packet).decode(errors="ignore"))
            if words is not None:
                assert packet.pts is not None and packet.duration is not None
                begins = float(packet.pts * packet.time_base)
                ends = begins + float(packet.duration * packet.time_base)
                found.setdefault(packet.stream.language or "", []).append(
                    (round(begins, 3), round(ends, 3), words[2])
                )
    return found


@pytest.mark.parametrize(
    ("suffix", "codecs"),
    [
        (".mkv", ["h264", "aac", "opus", "subrip", "ass", "font/ttf", "image/png"]),
        (".mp4", ["h264", "aac", "opus", "mov_text", "mov_text", "chapters", "png"]),
        (".mov", ["h264", "aac", "aac", "mov_text", "mov_text", "chapters"]),
        (".webm", ["av1", "opus", "opus", "webvtt", "webvtt"]),
    ],
)
def test_everything_is_carried_and_cut(
    rich: Path, tmp_path: Path, suffix: str, codecs: list[str]
) -> None:
    target = carry(rich, tmp_path / ("a" + suffix), pictures=36, audio_start=0.5)
    with av.open(str(target)) as container:
        found = []
        for stream in container.streams:
            context = stream.codec_context
            codec = "chapters" if context is None else context.codec.canonical_name
            found.append(stream.metadata.get("mimetype", codec))
        assert found == codecs
        chapters = [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"])
            for c in container.chapters()
            if c["time_base"]
        ]
        assert chapters == [(0, 0.5, "C0"), (0.5, 1.5, "C1")]
        languages = [s.language for s in (*container.streams.audio, *container.streams.subtitles)]
        assert languages == ["eng", "fra", "eng", "fra"]
        assert container.streams.video[0].language == "jpn"
        titles = [s.metadata.get("title") or s.metadata.get("name") for s in container.streams]
        assert (titles[0], titles[2]) == ("Main", "Remarks")
        assert container.metadata["title"] == "Film"
        if suffix in (".mkv", ".mp4"):
            assert container.streams.audio[1].disposition == Disposition.comment
            cover = container.streams.video[1]
            assert cover.disposition & Disposition.attached_pic
            assert bytes(next(container.demux(cover))) == small_png()
        if suffix == ".mkv":
            (font,) = container.streams.attachments
            assert (font.name, font.data) == ("a.ttf", b"font" * 9)
        assert sum(p.is_keyframe for p in container.demux(video=0) if p.size) >= 1
    lines = [(0.0, 0.6, "0"), (0.8, 1.5, "1")]
    assert _texts(target) == {"eng": lines, "fra": lines}


def test_losses_are_named(rich: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    carry(rich, tmp_path / "a.mkv")
    assert not caplog.records
    carry(rich, tmp_path / "a.mov")
    words = " ".join(record.getMessage() for record in caplog.records)
    for loss in [
        "audio stream 2 (opus, fra): encoded as aac",
        "subtitle stream 3 (subrip, eng): converted to mov_text",
        "subtitle stream 4 (ass, fra): converted to mov_text",
        "attachment stream 5 (a.ttf): left out",
        "video stream 6 (png): left out",
        "mov cannot hold these tags: SCANNER",
    ]:
        assert loss in words
    caplog.clear()
    carry(rich, tmp_path / "a.mp4")
    words = " ".join(record.getMessage() for record in caplog.records)
    assert "attachment" in words and "png" not in words and "opus" not in words


def test_streams_survive_a_second_run(rich: Path, tmp_path: Path) -> None:
    first = carry(rich, tmp_path / "a.mp4", pictures=72)
    second = carry(first, tmp_path / "b.mkv", pictures=72)
    lines = [(0.3, 1.1, "0"), (1.3, 2.1, "1"), (2.3, 3.0, "2")]
    assert _texts(second) == {"eng": lines, "fra": lines}
    with av.open(str(second)) as container:
        assert set(container.metadata) == {"title", "encoder"}  # not the brands of the MP4
        assert [c["metadata"]["title"] for c in container.chapters()] == ["C0", "C1", "C2"]
        assert container.streams.audio[1].metadata["title"] == "Remarks"
        cover = container.streams.video[1]
        assert bytes(next(container.demux(cover))) == small_png()


def test_pictures_that_are_not_stream_0(rich: Path, tmp_path: Path) -> None:
    """A cover before the pictures is no picture, and does not shift the sound."""
    source = tmp_path / "s.mkv"
    with av.open(str(rich)) as old, av.open(str(source), "w") as new:
        order = [old.streams.video[1], old.streams.audio[0], old.streams.video[0]]
        new.add_attachment("cover.png", "image/png", small_png())
        streams = {s.index: new.add_stream_from_template(s, opaque=True) for s in order[1:]}
        for packet in old.demux(*order[1:]):
            if packet.size and packet.pts is not None:
                shift = round(Fraction(1, 2) / packet.time_base)
                packet.pts += shift
                packet.dts = None if packet.dts is None else packet.dts + shift
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    target = carry(source, tmp_path / "a.mp4")
    with av.open(str(target)) as container:
        assert [s.type for s in container.streams] == ["video", "audio", "video"]
        assert container.streams.audio[0].start_time == 0
        assert len(samples(target)) / 48000 == pytest.approx(1.0, abs=0.03)


def _with_picture_subtitles(path: Path, source: Path) -> Path:
    """Subtitles of Blu-ray discs, without lengths: shown at 0.2 s, cleared at 0.9 s."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        pictures = new.add_stream_from_template(old.streams.video[0], opaque=True)
        texts = new.add_mux_stream("hdmv_pgs_subtitle", time_base=Fraction(1, 1000))
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = pictures
                new.mux(packet)
        for begins, name in [(200, b"first"), (900, b"clear")]:
            packet = av.Packet(b"\x16\x00\x0b" + name + bytes(6) + b"\x80\x00\x00")
            packet.time_base, packet.stream = Fraction(1, 1000), texts
            packet.pts = packet.dts = begins
            new.mux(packet)
    return path


def test_subtitle_that_is_shown_at_the_cut_is_kept(
    clip: Callable[..., Path], tmp_path: Path
) -> None:
    source = _with_picture_subtitles(tmp_path / "pgs.mkv", clip("s.mkv", level_frames(24)))
    target = carry(source, tmp_path / "a.mkv", pictures=12, audio_start=0.5)
    with av.open(str(target)) as container:
        packets = [p for p in container.demux(*container.streams.subtitles) if p.size]
        assert [(p.pts, bytes(p)[3:8]) for p in packets] == [(0, b"first"), (400, b"clear")]
