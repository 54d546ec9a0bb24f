"""Segments are whole by themselves, and joined they are the video that was never cut."""

import math
import os
import resource
import struct
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.frame import PictureType

from venhancer_jax.errors import InputError
from venhancer_jax.video import probe, read_frames
from venhancer_jax.video.tracks.copier import Tracks
from venhancer_jax.video.writing.encoders import add_video_stream
from venhancer_jax.video.writing.join import join_segments
from venhancer_jax.video.writing.segment_file import (
    Encoding,
    SegmentFile,
    count_pictures,
    segment_suffix,
)

NTSC = Fraction(30000, 1001)
# DefaultDuration of Matroska, of four bytes.
_FRAME_LENGTH = b"\x23\xe3\x83\x84"
CONTAINERS = [
    ("h264", ".mp4"),
    ("h264", ".mkv"),
    ("h264", ".mov"),
    ("h265", ".mp4"),
    ("h265", ".mkv"),
    ("av1", ".mp4"),
    ("av1", ".webm"),
    ("prores", ".mov"),
    ("ffv1", ".mkv"),
]
# Of whose pictures some are decoded before and shown after others.
REORDERED = ("h264", "h265")


def _encoding(codec: str, rate: Fraction | None = NTSC, **settings: object) -> Encoding:
    values = {"quality": 0.5, "width": 64, "height": 48, "time_base": 1 / (rate or Fraction(90000))}
    return Encoding(codec=codec, rate=rate, **values | settings)  # type: ignore[arg-type]


def _moving(count: int, seed: int = 0) -> list[np.ndarray]:
    """Smooth pictures that move, so that encoders use pictures that refer ahead."""
    y, x = np.mgrid[:48, :64]
    waves = [128 + 100 * np.sin((x + 2 * y + 3 * i + seed * 40) / 9) for i in range(count)]
    return [np.repeat(wave.astype(np.uint8)[..., None], 3, axis=2) for wave in waves]


def _segment(path: Path, encoding: Encoding, frames: Sequence, ticks: Sequence[int]) -> Path:
    with SegmentFile(path, encoding) as segment:
        for frame, tick in zip(frames, ticks, strict=True):
            segment.write(frame, tick - ticks[0])
    return path


def _segments(
    folder: Path, encoding: Encoding, lengths: Sequence[int], ticks: Sequence[int]
) -> list[tuple[Path, int]]:
    made, first = [], 0
    for number, length in enumerate(lengths):
        path = folder / f"{number}{segment_suffix(encoding.codec)}"
        shown = ticks[first : first + length]
        made.append((_segment(path, encoding, _moving(length, number), shown), shown[0]))
        first += length
    return made


def _times(path: Path) -> list[tuple[Fraction, Fraction | None]]:
    """Presentation and decoding times in seconds, in file order."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    times = []
    for packet in packets:
        assert packet.pts is not None
        decoded = None if packet.dts is None else packet.dts * packet.time_base
        times.append((packet.pts * packet.time_base, decoded))
    return times


def _encoded_in_one_go(path: Path, encoding: Encoding, lengths: Sequence[int]) -> Path:
    """The encoder alone, without segments: its own decoding times, a key frame per segment."""
    starts = set(np.cumsum([0, *lengths[:-1]]).tolist())
    frames = [frame for n, length in enumerate(lengths) for frame in _moving(length, n)]
    with av.open(str(path), "w", options={}) as container:
        stream = add_video_stream(container, encoding)
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p")
            picture.pts, picture.time_base = index, encoding.time_base
            if index in starts:
                picture.pict_type = PictureType.I
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("codec", ["h264", "h265", "av1"])
def test_segment_is_a_video_of_its_own(tmp_path: Path, codec: str) -> None:
    encoding = _encoding(codec)
    path = _segment(tmp_path / "a", encoding, _moving(12), range(100, 112))
    assert count_pictures(path) == 12
    times = sorted(_times(path))
    assert [time for time, _ in times] == [i / NTSC for i in range(12)]
    info = probe(path)
    assert (info.frames, info.rate, info.start, info.audio_codec) == (12, NTSC, 0, None)
    difference = np.stack(list(read_frames(path))).astype(int) - np.stack(_moving(12))
    assert np.abs(difference).mean() < 4
    again = _segment(tmp_path / "b", encoding, _moving(12), range(12))
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_no_picture_refers_to_one_before_a_key_frame(tmp_path: Path, codec: str) -> None:
    encoding = _encoding(codec, options=(("g", "10"),))
    path = _segment(tmp_path / "a", encoding, _moving(30), range(30))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    keys = [index for index, packet in enumerate(packets) if packet.is_keyframe]
    assert len(keys) >= 3
    for key in keys:
        first = packets[key].pts or 0
        assert all((packet.pts or 0) > first for packet in packets[key + 1 :])


@pytest.mark.parametrize(("codec", "suffix"), CONTAINERS)
def test_joined_times_are_those_of_one_encode(tmp_path: Path, codec: str, suffix: str) -> None:
    encoding, lengths = _encoding(codec), [7, 1, 12, 2, 8]
    segments = _segments(tmp_path, encoding, lengths, range(30))
    whole = tmp_path / f"whole{suffix}"
    join_segments(whole, segments, encoding, suffix=suffix)
    times = _times(whole)
    decoded = [decoded for _, decoded in times if decoded is not None]
    assert len(times) == 30 and len(decoded) >= 28
    assert all(a < b for a, b in pairwise(decoded))
    assert all(decoded is None or decoded <= shown for shown, decoded in times)
    if codec in REORDERED:
        assert any(shown != decoded for shown, decoded in times)
    if codec in (*REORDERED, "av1") and suffix != ".webm":
        other = _times(_encoded_in_one_go(tmp_path / f"other{suffix}", encoding, lengths))
        assert [decoded for _, decoded in times] == [decoded for _, decoded in other]
        assert sorted(times)[0] == (0, times[0][1])
        assert sorted(shown for shown, _ in times) == sorted(shown for shown, _ in other)
    assert (_FRAME_LENGTH in whole.read_bytes()) == (suffix in (".mkv", ".webm"))
    info = probe(whole)
    assert (info.frames, info.rate, info.start, info.on_grid) == (30, NTSC, 0, True)
    pieces = [frame for path, _ in segments for frame in read_frames(path)]
    for frame, piece in zip(read_frames(whole), pieces, strict=True):
        assert (frame == piece).all()
    again = tmp_path / "again"
    join_segments(again, segments, encoding, suffix=suffix)
    assert again.read_bytes() == whole.read_bytes()


def _stored_lengths(path: Path) -> set[Fraction]:
    """Returns the seconds that an MP4 or MOV file, its track and its edit list last."""
    data = path.read_bytes()

    def number(box: bytes, offset: int) -> int:
        return struct.unpack_from(">I", data, data.index(box) + offset)[0]

    film, track = number(b"mvhd", 16), number(b"mdhd", 16)
    lengths = {Fraction(number(b"mvhd", 20), film), Fraction(number(b"mdhd", 20), track)}
    return lengths | {Fraction(number(b"elst", 12), film)}


@pytest.mark.parametrize("held", [900, 40000])
@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("h265", ".mov"), ("av1", ".mkv")])
def test_uneven_times_are_kept(tmp_path: Path, codec: str, suffix: str, held: int) -> None:
    encoding = _encoding(codec, rate=None)
    gaps = np.random.default_rng(0).integers(1000, 9000, 29)
    ticks = [0, *np.cumsum(gaps).tolist()]
    segments = _segments(tmp_path, encoding, [11, 1, 18], ticks)
    assert [count_pictures(path) for path, _ in segments] == [11, 1, 18]
    whole = tmp_path / f"a{suffix}"
    join_segments(whole, segments, encoding, suffix=suffix, end=ticks[-1] + held)
    unit = 1000 if suffix == ".mkv" else 90000
    shown = sorted(shown for shown, _ in _times(whole))
    assert shown == [Fraction(math.floor(tick * unit / 90000 + 0.5), unit) for tick in ticks]
    assert _FRAME_LENGTH not in whole.read_bytes()
    with av.open(str(whole)) as container:
        length = (container.duration or 0) / av.time_base
    assert length == pytest.approx((ticks[-1] + held) / 90000, abs=0.0011)
    if suffix == ".mkv":
        return
    assert _stored_lengths(whole) == {Fraction(ticks[-1] + held, 90000)}
    assert probe(whole).times.duration == Fraction(ticks[-1] + held, 90000)
    times = _times(whole)
    assert times != sorted(times)
    assert all(decoded is not None and decoded <= shown for shown, decoded in times)
    assert all(a[1] < b[1] for a, b in pairwise(times))  # type: ignore[operator]


def test_decoded_pictures_fit_their_uneven_times(tmp_path: Path) -> None:
    encoding = _encoding("h264", rate=None)
    ticks = [0, 3000, 9000, 9001, 20000]
    path = _segment(tmp_path / "a", encoding, _moving(5), ticks)
    with av.open(str(path)) as container:
        assert [frame.pts for frame in container.decode(video=0)] == ticks


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "prores", "ffv1"])
def test_segment_that_is_not_whole_is_refused(tmp_path: Path, codec: str) -> None:
    encoding = _encoding(codec)
    whole = _segment(tmp_path / "a", encoding, _moving(6), range(6)).read_bytes()
    cut = tmp_path / "cut"
    for length in [0, 1, 7, 40, *range(100, len(whole), len(whole) // 20), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        with pytest.raises(InputError, match="missing, empty or cut short"):
            count_pictures(cut)
        with pytest.raises(InputError, match="missing, empty or cut short"):
            join_segments(tmp_path / "out", [(cut, 0)], encoding, suffix=".mkv")
    with pytest.raises(InputError, match="missing"):
        count_pictures(tmp_path / "no")


def test_segments_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    encoding = _encoding("h264")
    first = _segment(tmp_path / "a", encoding, _moving(6), range(6))
    larger = _segment(
        tmp_path / "b", _encoding("h264", width=96), [np.zeros((48, 96, 3), np.uint8)], [0]
    )
    out = tmp_path / "out"
    with pytest.raises(InputError, match="the next part begins at 5"):
        join_segments(out, [(first, 0), (first, 5)], encoding, suffix=".mp4")
    with pytest.raises(InputError, match=r"b: was encoded with other settings"):
        join_segments(out, [(first, 0), (larger, 6)], encoding, suffix=".mp4")
    with pytest.raises(InputError, match="clock"):
        join_segments(out, [(first, 0)], _encoding("h264", rate=Fraction(7)), suffix=".mp4")


@pytest.mark.parametrize("ticks", [[1], [0, 0], [0, 2, 1]])
def test_ticks_out_of_order_are_refused(tmp_path: Path, ticks: list[int]) -> None:
    with (
        pytest.raises(ValueError, match="tick"),
        SegmentFile(tmp_path / "a", _encoding("h264")) as segment,
    ):
        for tick in ticks:
            segment.write(_moving(1)[0], tick)


def test_folders_of_images_are_joined(tmp_path: Path) -> None:
    encoding = _encoding("png")
    assert segment_suffix("png") == ""
    segments = _segments(tmp_path, encoding, [2, 1, 3], range(6))
    target = tmp_path / "all"
    target.mkdir()
    join_segments(target, segments, encoding, suffix="")
    assert [p.name for p in sorted(target.iterdir())] == [f"{i:06d}.png" for i in range(1, 7)]
    frames = [frame for n, length in enumerate([2, 1, 3]) for frame in _moving(length, n)]
    for image, frame in zip(sorted(target.iterdir()), frames, strict=True):
        assert (next(read_frames(image)) == frame).all()
    # Segments stay whole, so that a join that is cut off can be done again.
    assert [count_pictures(path) for path, _ in segments] == [2, 1, 3]


@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "other"])
def test_folder_of_images_that_is_not_whole_is_refused(tmp_path: Path, damage: str) -> None:
    folder = _segment(tmp_path / "a", _encoding("png"), _moving(3), range(3))
    image = folder / "000002.png"
    if damage == "missing":
        image.unlink()
    elif damage == "other":
        (folder / "letter.txt").write_text("dear")
    else:
        image.write_bytes(image.read_bytes()[:-1] if damage == "cut" else b"")
    with pytest.raises(InputError, match=r"cut short|numbered images"):
        count_pictures(folder)


def _pulses(path: Path, every: int, count: int) -> Path:
    """Sound alone: 8 kHz, silent but for 10 ms every `every` seconds, as `count` packets of 1 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        assert isinstance(stream, AudioStream)
        stream.codec_context.layout = "mono"
        for second in range(count):
            samples = np.zeros((1, 8000), np.int16)
            samples[:, :80] = 20000 * (second % every == 0)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 8000, 8000 * second
            frame.time_base = Fraction(1, 8000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _join_many(tmp_path: Path, count: int, length: int) -> None:
    """Joins copies of one segment, with sound, and checks times, sync and open files."""
    encoding = _encoding("h264")
    segment = _segment(tmp_path / "a.mp4", encoding, _moving(length), range(length))
    segments = [(segment, length * number) for number in range(count)]
    seconds = math.ceil(count * length / NTSC)
    sound = _pulses(tmp_path / "s.mkv", every=10, count=seconds)
    whole = tmp_path / "whole.mp4"
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 8, before[1]))
    try:
        join_segments(whole, segments, encoding, suffix=".mp4", tracks=Tracks(sound))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    times = _times(whole)
    decoded = [decoded for _, decoded in times if decoded is not None]
    assert len(decoded) == count * length
    assert all(a < b for a, b in pairwise(decoded))
    assert sorted(shown for shown, _ in times) == [i / NTSC for i in range(count * length)]
    heard = []
    with av.open(str(whole)) as container:
        for frame in container.decode(audio=0):
            assert frame.time is not None
            loud = np.flatnonzero(np.abs(frame.to_ndarray()) > 0.2)
            if len(loud) and (not heard or frame.time > heard[-1] + 1):
                heard.append(frame.time + loud[0] / 8000)
    assert heard == pytest.approx(list(range(0, seconds, 10)), abs=0.5 / 30)


def test_forty_segments(tmp_path: Path) -> None:
    _join_many(tmp_path, 40, 7)


@pytest.mark.slow
def test_twenty_minutes_of_1500_segments(tmp_path: Path) -> None:
    _join_many(tmp_path, 1500, 24)
