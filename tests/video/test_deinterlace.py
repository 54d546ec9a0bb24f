"""Interlaced pictures become whole ones, one for one; all others stay as they are."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from video.video_clips import level_frames, make_video, number_of

from venhancer_jax.errors import InputError
from venhancer_jax.video import probe, read_frames

COUNT = 8
H264 = {"crf": "0", "flags": "+ildct+ilme", "x264-params": "bff=1", "bf": "2", "g": "4"}
MPEG2 = {"flags": "+ildct+ilme", "b": "4M", "bf": "2", "g": "4"}


def _bar(time: float) -> np.ndarray:
    """A bright bar that moves four pixels per frame."""
    frame = np.full((48, 64, 3), 20, np.uint8)
    left = 8 + round(4 * time)
    frame[:, left : left + 12] = 200
    return frame


def _woven(count: int = COUNT) -> list[np.ndarray]:
    """Pictures whose even lines are half a frame later than the odd ones: bottom field first."""
    frames = [_bar(index) for index in range(count)]
    for index, frame in enumerate(frames):
        frame[::2] = _bar(index + 0.5)[::2]
    return frames


def _comb(frames: list[np.ndarray]) -> float:
    """Measures how much lines differ from both neighbours, in levels."""
    lines = np.stack(frames)[..., 0].astype(int)
    return float(np.abs(2 * lines[:, 1:-1] - lines[:, :-2] - lines[:, 2:]).mean())


def _at_first_half(frames: list[np.ndarray]) -> bool:
    """Returns whether pictures show the time of the half picture that came first."""
    errors = [
        [np.abs(frame.astype(int) - _bar(index + late)).mean() for late in (0, 0.5)]
        for index, frame in enumerate(frames)
    ]
    return all(first < second / 2 for first, second in errors)


def _read(path: Path, choice: str = "auto", **options: object) -> list[np.ndarray]:
    info = probe(path, deinterlace=choice)
    return list(read_frames(info, as_stored=True, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.mp4", "libx264", H264), ("a.ts", "mpeg2video", MPEG2)],
)
def test_marked_pictures(
    clip: Callable[..., Path], name: str, codec: str, options: dict[str, str]
) -> None:
    path = clip(name, _woven(), codec=codec, options=options, rate=Fraction(25))
    info = probe(path)
    assert info.interlaced and info.times.rate == 25
    frames = _read(path)
    assert len(frames) == COUNT
    assert _comb(frames) < 0.2 * _comb(_read(path, "off"))
    assert _at_first_half(frames)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "ffv1")])
def test_pictures_without_a_mark_are_unchanged(
    clip: Callable[..., Path], name: str, codec: str
) -> None:
    path = clip(name, _woven(), codec=codec)
    info = probe(path)
    assert not info.interlaced
    np.testing.assert_array_equal(_read(path), _read(path, "off"))
    assert _comb(_read(path, "on")) < 0.2 * _comb(_read(path))
    assert not np.array_equal(_read(path, "on")[3], _read(path)[3])


@pytest.mark.parametrize(("field_order", "right"), [(2, False), (3, True), (4, True), (5, False)])
def test_mark_of_the_container_alone(
    clip: Callable[..., Path], field_order: int, right: bool
) -> None:
    path = clip("a.mkv", _woven(), codec="ffv1", field_order=field_order)
    with av.open(str(path)) as container:
        assert not any(frame.interlaced_frame for frame in container.decode(video=0))
    assert probe(path).interlaced
    assert _at_first_half(_read(path)) == right
    np.testing.assert_array_equal(_read(path), _read(path, "on"))


def _mixed(folder: Path) -> Path:
    """Five noisy pictures that are not interlaced, between three and six that are."""
    make = partial(make_video, codec="prores_ks", pixel_format="yuv422p10le")
    noise = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), np.uint8)
    interlaced = {"flags": "+ildct"}
    parts = [
        make(folder / "1.mov", _woven(3), options=interlaced),
        make(folder / "2.mov", list(noise), options={}),
        make(folder / "3.mov", _woven(6), options=interlaced),
    ]
    return _chained(folder / "mixed.mov", parts, (0, 3, 8))


def _chained(path: Path, parts: list[Path], begins: tuple[int, ...]) -> Path:
    """Copies the pictures of parts behind each other."""
    with av.open(str(parts[0])) as first, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(first.streams.video[0])
        for part, begin in zip(parts, begins, strict=True):
            with av.open(str(part)) as old:
                for packet in [packet for packet in old.demux(video=0) if packet.size]:
                    assert packet.pts is not None and packet.dts is not None
                    shift = round(Fraction(begin, 24) / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    new.mux(packet)
    return path


def test_each_picture_has_a_mark(tmp_path: Path) -> None:
    path = _mixed(tmp_path)
    frames, stored = _read(path), _read(path, "off")
    assert len(frames) == len(stored) == 14
    np.testing.assert_array_equal(frames[3:8], stored[3:8])
    for part in (slice(0, 3), slice(8, 14)):
        assert _comb(frames[part]) < 0.3 * _comb(stored[part])


def test_marks_that_begin_late(tmp_path: Path) -> None:
    frames = [_bar(0)] * 10
    make = partial(make_video, codec="prores_ks", pixel_format="yuv422p10le")
    parts = [
        make(tmp_path / "1.mov", frames, options={}),
        make(tmp_path / "2.mov", _woven(4), options={"flags": "+ildct"}),
    ]
    path = _chained(tmp_path / "a.mov", parts, (0, 10))
    assert not probe(path).interlaced
    assert _comb(_read(path)[10:]) < 0.3 * _comb(_read(path, "off")[10:])


@pytest.mark.parametrize("kind", ["h264", "mpeg2", "png", "mixed"])
def test_frames_after_a_seek(tmp_path: Path, kind: str) -> None:
    """The picture before the first one is read too, also where decoding can begin at each."""
    codecs = {"h264": ("a.mp4", "libx264", H264), "mpeg2": ("a.ts", "mpeg2video", MPEG2)}
    if kind == "mixed":
        path, choice = _mixed(tmp_path), "auto"
    elif kind == "png":
        path = make_video(tmp_path / "a.mov", _woven(), codec="mjpeg", pixel_format="yuvj420p")
        choice = "on"
    else:
        name, codec, options = codecs[kind]
        path, choice = make_video(tmp_path / name, _woven(), codec=codec, options=options), "auto"
    whole = _read(path, choice)
    for first in range(1, len(whole)):
        part = _read(path, choice, start_time=first / 24, max_frames=2)
        np.testing.assert_array_equal(part, whole[first : first + 2], err_msg=f"from {first}")


def test_times_are_unchanged(clip: Callable[..., Path]) -> None:
    stamps = [500, 540, 580, 620, 1400, 1750, 1800, 2250]
    path = clip("a.mkv", level_frames(8), stamps=stamps, time_base=Fraction(1, 1000), options=H264)
    assert probe(path).interlaced
    assert probe(path).times.ticks.tolist() == [stamp - 500 for stamp in stamps]
    assert [number_of(frame) for frame in _read(path)] == list(range(8))
    assert [number_of(frame) for frame in _read(path, start_time=1.0)] == [4, 5, 6, 7]


def test_a_damaged_picture(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.mov", level_frames(8), codec="png", pixel_format="rgb24", options={}
    )
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][5]
    data = bytearray(path.read_bytes())
    assert packet.pos is not None
    data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    read = []
    with pytest.raises(InputError, match="5 of 8 frames"):
        for frame in read_frames(probe(path, deinterlace="on"), as_stored=True):
            read.append(number_of(frame))
    assert read == [0, 1, 2, 3, 4]


def test_wrong_choice(clip: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="deinterlace 'yes': expected one of auto, on, off"):
        probe(clip("a.mp4", level_frames(1)), deinterlace="yes")
