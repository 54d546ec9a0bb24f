"""Files are exact in size, rate and colour, the same every time, and whole or absent."""

import errno
import hashlib
import os
import resource
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from video.video_clips import level_frames, number_of

from venhancer_jax.errors import InputError
from venhancer_jax.video import VideoWriter, probe, read_frames
from venhancer_jax.video.writing import write
from venhancer_jax.video.writing.segment_file import SegmentFile

PATCHES = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 30, 40), (255, 255, 255), (0, 0, 0)]
CONTAINERS = [
    ("a.mp4", "h264"),
    ("a.mkv", "h264"),
    ("a.mov", "h264"),
    ("a.mp4", "h265"),
    ("a.mov", "h265"),
    ("a.mp4", "av1"),
    ("a.mkv", "av1"),
    ("a.webm", "av1"),
]


def _write(path: Path, frames: list[np.ndarray], **settings: object) -> Path:
    height, width = frames[0].shape[:2]
    settings = {"rate": Fraction(24)} | settings
    with VideoWriter(path, width=width, height=height, **settings) as writer:  # type: ignore[arg-type]
        for frame in frames:
            writer.write(frame)
    return path


def _noise(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    values = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
    return list(values)


def _moving(count: int) -> list[np.ndarray]:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    return [np.roll(image, (i, 2 * i), (0, 1)) for i in range(count)]


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_round_trip(tmp_path: Path, name: str, codec: str) -> None:
    path = _write(tmp_path / name, level_frames(20), codec=codec, quality=1.0)
    info = probe(path)
    assert info.codec == {"h264": "h264", "h265": "hevc", "av1": "av1"}[codec]
    assert (info.frames, info.width, info.height, info.rate) == (20, 64, 48, 24)
    assert (info.pixel_format, info.variable_rate, info.start) == ("yuv420p", False, 0)
    assert [number_of(frame) for frame in read_frames(path)] == list(range(20))
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("rate", ["24", "24000/1001", "30000/1001", "16", "60", "1199/20"])
def test_rate_is_exact(tmp_path: Path, rate: str, suffix: str) -> None:
    info = probe(_write(tmp_path / ("a" + suffix), level_frames(24), rate=Fraction(rate)))
    assert (info.rate, info.duration) == (Fraction(rate), 24 / Fraction(rate))


@pytest.mark.parametrize("size", [(47, 63), (48, 63), (47, 64)])
@pytest.mark.parametrize("codec", ["h264", "h265", "av1"])
def test_odd_sizes_are_exact(tmp_path: Path, codec: str, size: tuple[int, int]) -> None:
    frames = level_frames(3, height=size[0], width=size[1])
    path = _write(tmp_path / "a.mp4", frames, codec=codec)
    info = probe(path)
    assert (info.height, info.width) == size
    assert [frame.shape[:2] for frame in read_frames(path)] == [size] * 3


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
@pytest.mark.parametrize("codec", ["h264", "h265", "av1"])
def test_saturated_colours_survive(tmp_path: Path, codec: str, size: tuple[int, int]) -> None:
    frames = [np.full((*size, 3), patch, np.uint8) for patch in PATCHES]
    path = _write(tmp_path / "a.mp4", frames, codec=codec, quality=1.0)
    for frame, patch in zip(read_frames(path), PATCHES, strict=True):
        assert np.abs(frame[8:-8, 8:-8].astype(int) - patch).max() <= 6


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("codec", ["h264", "h265", "av1"])
def test_colours_are_tagged_bt709(tmp_path: Path, codec: str, name: str) -> None:
    path = _write(tmp_path / name, level_frames(2), codec=codec)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert isinstance(frame, av.VideoFrame)
    assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)
    assert frame.color_range == 1


@pytest.mark.parametrize(("name", "codec"), [*CONTAINERS, ("a", "png")])
def test_same_frames_give_the_same_bytes(tmp_path: Path, name: str, codec: str) -> None:
    digests = []
    for folder in ["one", "two"]:
        path = _write(tmp_path / folder / name, _noise(12), codec=codec)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        digests.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
    assert digests[0] == digests[1]


@pytest.mark.parametrize("codec", ["h264", "h265", "av1"])
def test_quality_orders_sizes(tmp_path: Path, codec: str) -> None:
    frames = _noise(3)
    sizes = [
        _write(tmp_path / f"{q}.mp4", frames, codec=codec, quality=q).stat().st_size
        for q in (0.0, 0.5, 1.0)
    ]
    assert sizes[0] * 1.3 < sizes[1] and sizes[1] * 1.3 < sizes[2]


@pytest.mark.parametrize("codec", ["h264", "h265", "av1"])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_very_short_clips(tmp_path: Path, codec: str, count: int) -> None:
    for _ in range(3):
        path = _write(tmp_path / "a.mp4", level_frames(count), codec=codec)
        info = probe(path)
        assert (info.frames, info.rate, info.start) == (count, 24, 0)
        assert [number_of(frame) for frame in read_frames(path)] == list(range(count))


def test_decoding_times_never_pass_showing_times(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.mp4", _moving(60), codec="h265")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    times = [(packet.dts, packet.pts) for packet in packets]
    assert all(dts is not None and pts is not None and dts <= pts for dts, pts in times)
    shown = [pts for _, pts in times]
    assert shown != sorted(shown, key=lambda pts: pts or 0)


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(30000, 1001)])
def test_length_in_the_edit_list_is_exact(tmp_path: Path, rate: Fraction) -> None:
    # With B-pictures players cut the pictures to the length that an MP4 file has there.
    path = _write(tmp_path / "a.mp4", _moving(20), rate=rate)
    with av.open(str(path)) as container:
        assert PictureType.B in {frame.pict_type for frame in container.decode(video=0)}
    data = path.read_bytes()
    (ticks_per_second,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)
    (ticks,) = struct.unpack_from(">I", data, data.index(b"elst") + 12)
    assert Fraction(ticks, ticks_per_second) == 20 / rate


def test_index_comes_before_the_pictures(tmp_path: Path) -> None:
    data = _write(tmp_path / "a.mp4", level_frames(3)).read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_hevc_is_tagged_for_apple_players(tmp_path: Path) -> None:
    data = _write(tmp_path / "a.mp4", level_frames(3), codec="h265").read_bytes()
    assert b"hvc1" in data and b"hev1" not in data


def test_encoders_are_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for codec in ["h264", "h265", "av1"]:
        _write(tmp_path / "a.mp4", level_frames(3), codec=codec)
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


def test_png_folder(tmp_path: Path) -> None:
    frames = _noise(3)
    path = _write(tmp_path / "frames", frames, codec="png")
    assert sorted(os.listdir(path)) == ["000001.png", "000002.png", "000003.png"]
    for file, frame in zip(sorted(path.iterdir()), frames, strict=True):
        assert (next(read_frames(file)) == frame).all()
    _write(path, frames[:1], codec="png")
    assert os.listdir(path) == ["000001.png"]
    assert os.listdir(tmp_path) == ["frames"]


def test_png_never_replaces_a_folder_of_other_things(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match=r"letter\.txt"):
        _write(folder, level_frames(1), codec="png")
    assert (folder / "letter.txt").read_text() == "dear"


def test_png_keeps_other_things_that_come_meanwhile(tmp_path: Path) -> None:
    path = _write(tmp_path / "frames", level_frames(2), codec="png")
    with (
        pytest.raises(InputError, match=r"letter\.txt"),
        VideoWriter(path, width=64, height=48, rate=Fraction(24), codec="png") as writer,
    ):
        writer.write(level_frames(1)[0])
        (path / "letter.txt").write_text("dear")
    assert sorted(os.listdir(path)) == ["000001.png", "000002.png", "letter.txt"]
    assert os.listdir(tmp_path) == ["frames"]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "h264"), ("frames", "png")])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_exception_leaves_no_trace(
    tmp_path: Path, name: str, codec: str, error: type[BaseException]
) -> None:
    path = tmp_path / name
    with (
        pytest.raises(error),
        VideoWriter(path, width=64, height=48, rate=Fraction(24), codec=codec) as writer,
    ):
        for frame in level_frames(5):
            writer.write(frame)
        assert len(os.listdir(tmp_path)) == 1
        assert not path.exists()
        raise error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "h264"), ("frames", "png")])
def test_exception_preserves_the_older_file(tmp_path: Path, name: str, codec: str) -> None:
    path = _write(tmp_path / name, level_frames(2), codec=codec)
    with (
        pytest.raises(RuntimeError),
        VideoWriter(path, width=64, height=48, rate=Fraction(24), codec=codec) as writer,
    ):
        writer.write(level_frames(1)[0])
        raise RuntimeError
    assert os.listdir(tmp_path) == [name]
    old = path if path.is_file() else path / "000002.png"
    assert number_of(list(read_frames(old))[-1]) == 1


def test_zero_frames(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="no frame"),
        VideoWriter(tmp_path / "a.mp4", width=64, height=48, rate=Fraction(24)),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_overwrite(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.mp4", level_frames(2))
    with pytest.raises(InputError, match="exists"):
        _write(path, level_frames(3), overwrite=False)
    assert probe(path).frames == 2
    assert probe(_write(path, level_frames(3))).frames == 3


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("a.mp4", {"codec": "vp3"}, "vp3.*h264, h265, av1, prores, ffv1, png, exr"),
        ("a.mp4", {"quality": 1.01}, "quality=1.01"),
        ("a.mp4", {"quality": float("nan")}, "quality=nan"),
        ("a.mp4", {"rate": Fraction(0)}, "rate=0"),
        ("a.mp4", {"rate": Fraction(-24)}, "rate=-24"),
        ("a.mp4", {"rate": Fraction(2000)}, "rate=2000"),
        ("a.mp4", {"rate": 23.976}, "rate=23.976"),
        ("a.mp4", {"audio_start": -1.0}, "audio_start"),
        ("a.mp4", {"audio_duration": 0.0}, "audio_duration"),
        ("a.mp4", {"audio_from": "missing.mp4"}, "missing.mp4"),
        ("a.avi", {}, ".avi"),
        ("a", {}, "no suffix"),
        ("a.webm", {}, ".webm"),
        ("a.mov", {"codec": "av1"}, ".mov"),
        ("a.png", {"codec": "h264"}, ".png"),
        ("a.mp4", {"codec": "png"}, "without .mp4"),
    ],
)
def test_wrong_settings(tmp_path: Path, name: str, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _write(tmp_path / name, level_frames(1), **settings)
    assert os.listdir(tmp_path) == []


def test_size_that_the_encoder_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="h265 of 1x1"):
        _write(tmp_path / "a.mp4", level_frames(1, width=1, height=1), codec="h265")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("codec", ["h264", "png"])
def test_folder_that_cannot_be_written(tmp_path: Path, codec: str) -> None:
    (tmp_path / "file").touch()
    name = "out.mp4" if codec == "h264" else "out"
    for folder in [tmp_path / "file", Path("/proc")]:
        with pytest.raises(InputError, match="cannot write"):
            _write(folder / name, level_frames(1), codec=codec)


def test_missing_folders_are_made(tmp_path: Path) -> None:
    assert probe(_write(tmp_path / "b" / "c" / "a.mp4", level_frames(1))).frames == 1


def test_wrong_frames(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="uint8"),
        VideoWriter(tmp_path / "a.mp4", width=64, height=48, rate=Fraction(24)) as writer,
    ):
        writer.write(np.zeros((64, 48, 3), np.uint8))
    with (
        pytest.raises(ValueError, match="float32"),
        VideoWriter(tmp_path / "a.mp4", width=64, height=48, rate=Fraction(24)) as writer,
    ):
        writer.write(np.zeros((48, 64, 3), np.float32))  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "h264"), ("a.mkv", "h264"), ("a", "png")])
def test_refused_write_is_told_and_leaves_no_trace(tmp_path: Path, name: str, codec: str) -> None:
    with _largest_file(5000), pytest.raises(InputError, match="File too large"):
        _write(tmp_path / name, _noise(60), codec=codec, quality=1.0)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("step", [(SegmentFile, "write"), (write, "join_segments")])
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: tuple) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*step, full)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1_500_000))
    with pytest.raises(InputError, match=r"disk is full \(1.5 MB were free\).*partial.*removed"):
        _write(tmp_path / "a.mp4", level_frames(3))
    assert os.listdir(tmp_path) == []
