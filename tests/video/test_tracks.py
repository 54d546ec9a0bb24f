"""All that a source holds goes along: in sync, cut to the part, and named where it is lost."""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from video.rich_source import make_rich_source, small_png
from video.video_clips import level_frames, tone

from venhancer_jax.video import VideoWriter, probe
from venhancer_jax.video.tracks.copier import Tracks
from venhancer_jax.video.writing.join import join_segments
from venhancer_jax.video.writing.segment_file import Encoding, SegmentFile

PICTURE = 1 / 24


def _carry(source: Path, target: Path, pictures: int = 24, **settings: object) -> Path:
    codec = "av1" if target.suffix == ".webm" else "h264"
    with VideoWriter(
        target,
        width=64,
        height=48,
        rate=Fraction(24),
        codec=codec,
        audio_from=source,
        **settings,  # type: ignore[arg-type]
    ) as writer:
        for frame in (level_frames(24) * 3)[:pictures]:
            writer.write(frame)
    return target


def _samples(path: Path, track: int = 0) -> np.ndarray:
    """48 kHz samples by presentation time: silence stands where no packet is heard."""
    heard = np.zeros(48000 * 5, "f4")
    end = 0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=track):
            assert frame.pts is not None and frame.time_base is not None
            assert frame.layout.name == "mono"
            begins = round(frame.pts * frame.time_base * 48000)
            values = frame.to_ndarray().astype("f4").reshape(-1)[: frame.samples]
            if begins < 0:
                values, begins = values[-begins:], 0
            heard[begins : begins + len(values)] = values
            end = max(end, begins + len(values))
    return heard[:end]


def _onset(samples: np.ndarray) -> float:
    return float(np.argmax(np.abs(samples) > 0.1 * np.abs(samples).max())) / 48000


def _packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.fixture
def source(clip: Callable[..., Path]) -> Path:
    """Two seconds of pictures; the tone sets in at 0.75 s."""
    return clip("source.mp4", level_frames(24) * 2, sounds=[tone(2.0, silent_before=0.75)])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_packets_are_copied(source: Path, tmp_path: Path, suffix: str) -> None:
    target = _carry(source, tmp_path / ("a" + suffix), pictures=24)
    copied, original = _packets(target), _packets(source)
    assert len(copied) >= 45
    assert set(copied) <= set(original)
    assert probe(target).audio_codec == "aac"


@pytest.mark.parametrize("start", [0.0, 0.7])
@pytest.mark.parametrize(
    ("name", "sound", "suffix", "codec"),
    [
        ("s.mp4", "aac", ".mp4", "aac"),
        ("s.mp4", "aac", ".mkv", "aac"),
        ("s.mkv", "aac", ".mkv", "aac"),
        ("s.mkv", "aac", ".mov", "aac"),
        ("s.mp4", "aac", ".webm", "opus"),
        ("s.mkv", "libopus", ".mp4", "opus"),
        ("s.mp4", "libopus", ".webm", "opus"),
        ("s.mkv", "flac", ".mp4", "flac"),
        ("s.mkv", "flac", ".mkv", "flac"),
        ("s.mkv", "pcm_s16le", ".mp4", "aac"),
        ("s.ts", "aac", ".mp4", "aac"),
    ],
)
def test_sound_stays_in_sync(
    clip: Callable[..., Path],
    tmp_path: Path,
    name: str,
    sound: str,
    suffix: str,
    codec: str,
    start: float,
) -> None:
    sounds = [tone(2.0, silent_before=0.75)]
    source = clip(name, level_frames(24) * 2, sounds=sounds, sound_codec=sound)
    target = _carry(source, tmp_path / ("a" + suffix), audio_start=start)
    info = probe(target)
    assert (info.audio_codec, info.frames, info.start) == (codec, 24, 0)
    samples = _samples(target)
    assert _onset(samples) == pytest.approx(0.75 - start, abs=0.004)
    # To the packet at the end; MP4 and encoded sound begin exactly.
    assert len(samples) / 48000 == pytest.approx(1.0, abs=0.09 if codec == "flac" else 0.025)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("sound", ["aac", "libopus"])
def test_copied_sound_keeps_every_sample(
    clip: Callable[..., Path], tmp_path: Path, sound: str, suffix: str
) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 24000)).astype("f4")
    source = clip("s" + suffix, level_frames(12), sounds=[noise], sound_codec=sound)
    copied = _samples(_carry(source, tmp_path / ("a" + suffix), 12, audio_duration=9.0))
    original = _samples(source)
    assert len(copied) == len(original) >= 24000
    assert np.abs(copied - original).max() < 1e-6


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_sound_is_cut_to_its_duration(source: Path, tmp_path: Path, suffix: str) -> None:
    target = _carry(source, tmp_path / ("a" + suffix), audio_duration=0.5)
    assert len(_samples(target)) / 48000 == pytest.approx(0.5, abs=PICTURE)


def test_sound_ends_with_its_source(source: Path, tmp_path: Path) -> None:
    target = _carry(source, tmp_path / "a.mp4", audio_start=1.5)
    assert len(_samples(target)) / 48000 == pytest.approx(0.5, abs=PICTURE)


def test_sound_before_the_start_is_left_out(source: Path, tmp_path: Path) -> None:
    target = _carry(source, tmp_path / "a.mp4", audio_start=1.0, pictures=12)
    assert 22 <= len(_packets(target)) <= 28


def test_lossless_sound_is_cut_to_the_sample(clip: Callable[..., Path], tmp_path: Path) -> None:
    source = clip("s.mkv", level_frames(24), sounds=[tone(1.0)], sound_codec="flac")
    target = _carry(source, tmp_path / "a.mkv", 6, audio_start=0.3, audio_duration=0.25)
    assert (_samples(target) == _samples(source)[14400:26400]).all()


@pytest.mark.parametrize(("sound", "length"), [("aac", 1024), ("libopus", 960)])
def test_rounded_times_become_exact(
    clip: Callable[..., Path], tmp_path: Path, sound: str, length: int
) -> None:
    source = clip("s.mkv", level_frames(24), sounds=[tone(1.0)], sound_codec=sound)
    with av.open(str(_carry(source, tmp_path / "a.mp4"))) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        starts = [packet.pts for packet in packets if packet.pts is not None]
    assert {b - a for a, b in pairwise(starts)} == {length}


def test_late_first_picture_shifts_the_sound(clip: Callable[..., Path], tmp_path: Path) -> None:
    stamps = [12 + i for i in range(24)]
    source = clip("s.mkv", level_frames(24), stamps=stamps, sounds=[tone(1.5, silent_before=0.75)])
    samples = _samples(_carry(source, tmp_path / "a.mp4"))
    assert _onset(samples) == pytest.approx(0.25, abs=PICTURE)


def test_far_start_is_found(clip: Callable[..., Path], tmp_path: Path) -> None:
    source = clip(
        "s.mp4",
        level_frames(24) * 10,
        sounds=[tone(10.0, silent_before=9.25)],
        options={"g": "12"},
    )
    samples = _samples(_carry(source, tmp_path / "a.mp4", audio_start=9.0, pictures=20))
    assert _onset(samples) == pytest.approx(0.25, abs=PICTURE)


def test_unfit_codec_is_encoded_anew(clip: Callable[..., Path], tmp_path: Path) -> None:
    sound = tone(1.0, silent_before=0.5)
    source = clip("s.mkv", level_frames(24), sounds=[sound], sound_codec="wavpack")
    assert probe(source).audio_codec == "wavpack"
    target = _carry(source, tmp_path / "a.mp4", audio_start=0.25)
    assert probe(target).audio_codec == "aac"
    assert _onset(_samples(target)) == pytest.approx(0.25, abs=PICTURE)


def test_all_tracks_are_carried(clip: Callable[..., Path], tmp_path: Path) -> None:
    sounds = [tone(1.0, silent_before=0.25), tone(1.0, silent_before=0.75)]
    target = _carry(clip("s.mp4", level_frames(24), sounds=sounds), tmp_path / "a.mp4")
    onsets = [_onset(_samples(target, track)) for track in (0, 1)]
    assert onsets == pytest.approx([0.25, 0.75], abs=PICTURE)


def test_silent_source_gives_a_silent_file(clip: Callable[..., Path], tmp_path: Path) -> None:
    target = _carry(clip("s.mp4", level_frames(2)), tmp_path / "a.mp4")
    assert probe(target).audio_codec is None


def test_png_leaves_the_sound_out(source: Path, tmp_path: Path) -> None:
    with VideoWriter(
        tmp_path / "f", width=64, height=48, rate=Fraction(24), codec="png", audio_from=source
    ) as writer:
        writer.write(level_frames(1)[0])
    assert (tmp_path / "f" / "000001.png").is_file()


def test_file_can_replace_its_own_source(source: Path) -> None:
    _carry(source, source)
    info = probe(source)
    assert (info.frames, info.audio_codec) == (24, "aac")


def test_sound_is_the_same_every_time(source: Path, tmp_path: Path) -> None:
    files = [_carry(source, tmp_path / name).read_bytes() for name in ("a.mkv", "b.mkv")]
    assert files[0] == files[1]


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
    target = _carry(rich, tmp_path / ("a" + suffix), pictures=36, audio_start=0.5)
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
    _carry(rich, tmp_path / "a.mkv")
    assert not caplog.records
    _carry(rich, tmp_path / "a.mov")
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
    _carry(rich, tmp_path / "a.mp4")
    words = " ".join(record.getMessage() for record in caplog.records)
    assert "attachment" in words and "png" not in words and "opus" not in words


def test_streams_survive_a_second_run(rich: Path, tmp_path: Path) -> None:
    first = _carry(rich, tmp_path / "a.mp4", pictures=72)
    second = _carry(first, tmp_path / "b.mkv", pictures=72)
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
    target = _carry(source, tmp_path / "a.mp4")
    with av.open(str(target)) as container:
        assert [s.type for s in container.streams] == ["video", "audio", "video"]
        assert container.streams.audio[0].start_time == 0
        assert len(_samples(target)) / 48000 == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_late_sound_stays_late(clip: Callable[..., Path], tmp_path: Path, suffix: str) -> None:
    source = clip("s.mkv", level_frames(24), sounds=[tone(0.5)], sound_start=0.5)
    samples = _samples(_carry(source, tmp_path / ("a" + suffix)))
    assert _onset(samples) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_behind_the_last_picture(
    clip: Callable[..., Path], tmp_path: Path, suffix: str
) -> None:
    source = clip("s.mkv", level_frames(12), sounds=[tone(2.0)])
    whole = _carry(source, tmp_path / ("a" + suffix), 12, audio_duration=math.inf)
    assert len(_samples(whole)) / 48000 == pytest.approx(2.0, abs=0.025)
    cut = _carry(source, tmp_path / ("b" + suffix), 12)
    assert len(_samples(cut)) / 48000 == pytest.approx(0.5, abs=0.025)


def test_gap_in_the_sound_is_kept_when_it_is_encoded(
    clip: Callable[..., Path], tmp_path: Path
) -> None:
    source = clip("s.mkv", level_frames(24), sounds=[tone(1.0)], sound_codec="flac")
    with_gap = tmp_path / "gap.mkv"
    with av.open(str(source)) as old, av.open(str(with_gap), "w") as new:
        streams = [new.add_stream_from_template(s, opaque=True) for s in old.streams]
        for packet in old.demux():
            is_lost = packet.stream.type == "audio" and 200 <= (packet.pts or 0) < 700
            if packet.size and not is_lost:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    samples = np.abs(_samples(_carry(with_gap, tmp_path / "a.webm")))
    parts = samples[:48000].reshape(-1, 1200).max(axis=1) > 0.3  # 25 ms each
    assert parts[:11].all() and not parts[13:29].any() and parts[32:38].all()


def test_time_of_the_first_picture_can_be_given(clip: Callable[..., Path], tmp_path: Path) -> None:
    """Where pictures at the start of a broadcast cannot be decoded, the first one is later."""
    source = clip("s.mkv", level_frames(24), sounds=[tone(1.0, silent_before=0.75)])
    encoding = Encoding(
        codec="h264",
        quality=0.5,
        width=64,
        height=48,
        time_base=Fraction(1, 24),
        rate=Fraction(24),
    )
    with SegmentFile(tmp_path / "a", encoding) as segment:
        for index, frame in enumerate(level_frames(12)):
            segment.write(frame, index)
    target = tmp_path / "a.mp4"
    tracks = Tracks(source, start=Fraction(1, 4), picture_start=Fraction(1, 4))
    join_segments(target, [(tmp_path / "a", 0)], encoding, suffix=".mp4", tracks=tracks)
    assert _onset(_samples(target)) == pytest.approx(0.25, abs=0.004)


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
    target = _carry(source, tmp_path / "a.mkv", pictures=12, audio_start=0.5)
    with av.open(str(target)) as container:
        packets = [p for p in container.demux(*container.streams.subtitles) if p.size]
        assert [(p.pts, bytes(p)[3:8]) for p in packets] == [(0, b"first"), (400, b"clear")]
