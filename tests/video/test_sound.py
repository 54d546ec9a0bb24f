"""Sound stays in sync, is cut to the part, and is converted where a container needs that."""

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from video.carried import PICTURE, carry, onset, samples
from video.video_clips import level_frames, tone

from venhancer_jax.video import VideoWriter, probe
from venhancer_jax.video.tracks.copier import Tracks
from venhancer_jax.video.writing.join import join_segments
from venhancer_jax.video.writing.segment_file import Encoding, SegmentFile


def _packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.fixture
def source(clip: Callable[..., Path]) -> Path:
    """Two seconds of pictures; the tone sets in at 0.75 s."""
    return clip("source.mp4", level_frames(24) * 2, sounds=[tone(2.0, silent_before=0.75)])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_packets_are_copied(source: Path, tmp_path: Path, suffix: str) -> None:
    target = carry(source, tmp_path / ("a" + suffix), pictures=24)
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
    target = carry(source, tmp_path / ("a" + suffix), audio_start=start)
    info = probe(target)
    assert (info.audio_codec, info.frames, info.start) == (codec, 24, 0)
    heard = samples(target)
    assert onset(heard) == pytest.approx(0.75 - start, abs=0.004)
    # To the packet at the end; MP4 and encoded sound begin exactly.
    assert len(heard) / 48000 == pytest.approx(1.0, abs=0.09 if codec == "flac" else 0.025)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("sound", ["aac", "libopus"])
def test_copied_sound_keeps_every_sample(
    clip: Callable[..., Path], tmp_path: Path, sound: str, suffix: str
) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 24000)).astype("f4")
    source = clip("s" + suffix, level_frames(12), sounds=[noise], sound_codec=sound)
    copied = samples(carry(source, tmp_path / ("a" + suffix), 12, audio_duration=9.0))
    original = samples(source)
    assert len(copied) == len(original) >= 24000
    assert np.abs(copied - original).max() < 1e-6


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_sound_is_cut_to_its_duration(source: Path, tmp_path: Path, suffix: str) -> None:
    target = carry(source, tmp_path / ("a" + suffix), audio_duration=0.5)
    assert len(samples(target)) / 48000 == pytest.approx(0.5, abs=PICTURE)


def test_sound_ends_with_its_source(source: Path, tmp_path: Path) -> None:
    target = carry(source, tmp_path / "a.mp4", audio_start=1.5)
    assert len(samples(target)) / 48000 == pytest.approx(0.5, abs=PICTURE)


def test_sound_before_the_start_is_left_out(source: Path, tmp_path: Path) -> None:
    target = carry(source, tmp_path / "a.mp4", audio_start=1.0, pictures=12)
    assert 22 <= len(_packets(target)) <= 28


def test_lossless_sound_is_cut_to_the_sample(clip: Callable[..., Path], tmp_path: Path) -> None:
    source = clip("s.mkv", level_frames(24), sounds=[tone(1.0)], sound_codec="flac")
    target = carry(source, tmp_path / "a.mkv", 6, audio_start=0.3, audio_duration=0.25)
    assert (samples(target) == samples(source)[14400:26400]).all()


@pytest.mark.parametrize(("sound", "length"), [("aac", 1024), ("libopus", 960)])
def test_rounded_times_become_exact(
    clip: Callable[..., Path], tmp_path: Path, sound: str, length: int
) -> None:
    source = clip("s.mkv", level_frames(24), sounds=[tone(1.0)], sound_codec=sound)
    with av.open(str(carry(source, tmp_path / "a.mp4"))) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        starts = [packet.pts for packet in packets if packet.pts is not None]
    assert {b - a for a, b in pairwise(starts)} == {length}


def test_late_first_picture_shifts_the_sound(clip: Callable[..., Path], tmp_path: Path) -> None:
    stamps = [12 + i for i in range(24)]
    source = clip("s.mkv", level_frames(24), stamps=stamps, sounds=[tone(1.5, silent_before=0.75)])
    heard = samples(carry(source, tmp_path / "a.mp4"))
    assert onset(heard) == pytest.approx(0.25, abs=PICTURE)


def test_far_start_is_found(clip: Callable[..., Path], tmp_path: Path) -> None:
    source = clip(
        "s.mp4",
        level_frames(24) * 10,
        sounds=[tone(10.0, silent_before=9.25)],
        options={"g": "12"},
    )
    heard = samples(carry(source, tmp_path / "a.mp4", audio_start=9.0, pictures=20))
    assert onset(heard) == pytest.approx(0.25, abs=PICTURE)


def test_unfit_codec_is_encoded_anew(clip: Callable[..., Path], tmp_path: Path) -> None:
    sound = tone(1.0, silent_before=0.5)
    source = clip("s.mkv", level_frames(24), sounds=[sound], sound_codec="wavpack")
    assert probe(source).audio_codec == "wavpack"
    target = carry(source, tmp_path / "a.mp4", audio_start=0.25)
    assert probe(target).audio_codec == "aac"
    assert onset(samples(target)) == pytest.approx(0.25, abs=PICTURE)


def test_all_tracks_are_carried(clip: Callable[..., Path], tmp_path: Path) -> None:
    sounds = [tone(1.0, silent_before=0.25), tone(1.0, silent_before=0.75)]
    target = carry(clip("s.mp4", level_frames(24), sounds=sounds), tmp_path / "a.mp4")
    onsets = [onset(samples(target, track)) for track in (0, 1)]
    assert onsets == pytest.approx([0.25, 0.75], abs=PICTURE)


def test_silent_source_gives_a_silent_file(clip: Callable[..., Path], tmp_path: Path) -> None:
    target = carry(clip("s.mp4", level_frames(2)), tmp_path / "a.mp4")
    assert probe(target).audio_codec is None


def test_png_leaves_the_sound_out(source: Path, tmp_path: Path) -> None:
    with VideoWriter(
        tmp_path / "f", width=64, height=48, rate=Fraction(24), codec="png", audio_from=source
    ) as writer:
        writer.write(level_frames(1)[0])
    assert (tmp_path / "f" / "000001.png").is_file()


def test_file_can_replace_its_own_source(source: Path) -> None:
    carry(source, source)
    info = probe(source)
    assert (info.frames, info.audio_codec) == (24, "aac")


def test_sound_is_the_same_every_time(source: Path, tmp_path: Path) -> None:
    files = [carry(source, tmp_path / name).read_bytes() for name in ("a.mkv", "b.mkv")]
    assert files[0] == files[1]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_late_sound_stays_late(clip: Callable[..., Path], tmp_path: Path, suffix: str) -> None:
    source = clip("s.mkv", level_frames(24), sounds=[tone(0.5)], sound_start=0.5)
    heard = samples(carry(source, tmp_path / ("a" + suffix)))
    assert onset(heard) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_behind_the_last_picture(
    clip: Callable[..., Path], tmp_path: Path, suffix: str
) -> None:
    source = clip("s.mkv", level_frames(12), sounds=[tone(2.0)])
    whole = carry(source, tmp_path / ("a" + suffix), 12, audio_duration=math.inf)
    assert len(samples(whole)) / 48000 == pytest.approx(2.0, abs=0.025)
    cut = carry(source, tmp_path / ("b" + suffix), 12)
    assert len(samples(cut)) / 48000 == pytest.approx(0.5, abs=0.025)


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
    heard = np.abs(samples(carry(with_gap, tmp_path / "a.webm")))
    parts = heard[:48000].reshape(-1, 1200).max(axis=1) > 0.3  # 25 ms each
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
    assert onset(samples(target)) == pytest.approx(0.25, abs=0.004)
