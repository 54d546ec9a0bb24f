"""Sound is carried over in sync with the pictures, copied where it can be."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video.video_clips import level_frames, tone

from venhancer_jax.video import VideoWriter, probe

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
        for frame in level_frames(pictures):
            writer.write(frame)
    return target


def _samples(path: Path, track: int = 0) -> np.ndarray:
    """48 kHz samples by presentation time: silence stands where no packet is heard."""
    heard = np.zeros(48000 * 5, "f4")
    end = 0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=track):
            assert frame.pts is not None and frame.time_base is not None
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


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "aac"), (".mkv", "aac"), (".webm", "opus")])
@pytest.mark.parametrize("start", [0.0, 0.5, 0.7])
def test_sound_stays_in_sync(
    source: Path, tmp_path: Path, suffix: str, codec: str, start: float
) -> None:
    target = _carry(source, tmp_path / ("a" + suffix), audio_start=start)
    info = probe(target)
    assert (info.audio_codec, info.frames, info.start) == (codec, 24, 0)
    samples = _samples(target)
    assert _onset(samples) == pytest.approx(0.75 - start, abs=PICTURE)
    assert len(samples) / 48000 == pytest.approx(1.0, abs=0.07)


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
