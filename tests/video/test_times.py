"""Stored pictures come once each, at the times of the file."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video.video_clips import copy_video, level_frames, make_video, number_of, tone

from venhancer_jax.errors import InputError
from venhancer_jax.video import constant_times, first_frame, probe, read_frames
from venhancer_jax.video.timing import measure_times

MS = Fraction(1, 1000)
UNEVEN = [0, 40, 80, 120, 900, 1250, 1300, 1750]


def _numbers(path: Path, **options: object) -> list[int]:
    frames = read_frames(path, as_stored=True, **options)  # type: ignore[arg-type]
    return [number_of(frame) for frame in frames]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("rate", ["24", "30000/1001"])
def test_constant_rates_are_exact(clip: Callable[..., Path], rate: str, suffix: str) -> None:
    path = clip("a" + suffix, level_frames(20), rate=Fraction(rate))
    times = probe(path).times
    assert (times.rate, times.time_base, len(times)) == (Fraction(rate), 1 / Fraction(rate), 20)
    assert times.duration == 20 / Fraction(rate)
    assert _numbers(path) == list(range(20))


def test_variable_rates_keep_every_timestamp(clip: Callable[..., Path]) -> None:
    path = clip("a.mkv", level_frames(8), stamps=UNEVEN, time_base=MS)
    times = probe(path).times
    assert times.rate is None
    assert [times.seconds(i) for i in range(8)] == [Fraction(stamp, 1000) for stamp in UNEVEN]
    assert _numbers(path) == list(range(8))


def test_jitter_beyond_rounding_is_kept(clip: Callable[..., Path]) -> None:
    stamps = [round(i * 1000 / 24) + (i % 3 == 1) * 4 for i in range(12)]
    info = probe(clip("a.mkv", level_frames(12), stamps=stamps, time_base=MS))
    assert info.times.ticks.tolist() == stamps and not info.variable_rate


@pytest.mark.parametrize("first", [700, 1000])
def test_first_timestamp_is_not_zero(clip: Callable[..., Path], first: int) -> None:
    stamps = [first + stamp for stamp in UNEVEN]
    path = clip("a.mkv", level_frames(8), stamps=stamps, time_base=MS, sounds=[tone(3)])
    info = probe(path)
    assert info.start == Fraction(first, 1000)
    assert info.times.ticks.tolist() == UNEVEN
    assert _numbers(path, start_time=0.95) == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("suffix", "shown"), [(".mov", [3, 4, 5]), (".ts", [0, 1, 2, 3, 4, 5]), (".mkv", range(6))]
)
def test_timestamps_before_zero(tmp_path: Path, suffix: str, shown: Sequence[int]) -> None:
    """MOV hides such pictures, MPEG-TS shows them, Matroska loses their timestamps."""
    options = {"crf": "0", "bf": "0"}
    whole = make_video(tmp_path / "a.nut", level_frames(6), options=options)
    path = copy_video(whole, tmp_path / ("b" + suffix), lambda stamp: stamp - Fraction(1, 8))
    times = probe(path).times
    assert (times.rate, len(times)) == (24, len(shown))
    assert _numbers(path) == list(shown)


@pytest.mark.parametrize("suffix", [".mov", ".ts"])
def test_milliseconds_of_a_copied_matroska_file(tmp_path: Path, suffix: str) -> None:
    """Their rounding is no jitter, although the copy has finer ticks."""
    whole = make_video(tmp_path / "a.mkv", level_frames(12), rate=Fraction(30000, 1001))
    assert probe(copy_video(whole, tmp_path / ("b" + suffix))).times.rate == Fraction(30000, 1001)


def test_without_timestamps(clip: Callable[..., Path]) -> None:
    path = clip("a.h264", level_frames(6))
    assert (probe(path).start, len(probe(path).times)) == (None, 6)
    assert _numbers(path, max_frames=4) == [0, 1, 2, 3]


def test_wrong_rate_in_the_header(clip: Callable[..., Path]) -> None:
    path = clip("a.mkv", level_frames(24))
    data = path.read_bytes()
    place = data.index(bytes.fromhex("23e38384")) + 4  # DefaultDuration, four bytes
    path.write_bytes(data[:place] + (20_000_000).to_bytes(4, "big") + data[place + 4 :])
    with av.open(str(path)) as container:
        assert container.streams.video[0].guessed_rate == 50
    times = probe(path).times
    assert (times.rate, times.duration) == (24, 1)


def test_pictures_are_not_stream_0(tmp_path: Path) -> None:
    stamps = [10 + stamp for stamp in UNEVEN]
    path = make_video(
        tmp_path / "a.mkv", level_frames(8), stamps=stamps, time_base=MS, sounds=[tone(2)],
        sound_first=True,
    )  # fmt: skip
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["audio", "video"]
    assert probe(path).times.ticks.tolist() == UNEVEN
    assert _numbers(path, start_time=1.26, max_frames=2) == [5, 6]


def test_equal_timestamps_are_spread(clip: Callable[..., Path]) -> None:
    stamps = [0, 400, 404, 1200, 1600, 2500]  # 40.0 and 40.4 ms
    time_base = Fraction(1, 10_000)
    options = {"crf": "0", "bf": "0"}
    path = clip("a.mkv", level_frames(6), stamps=stamps, time_base=time_base, options=options)
    times = probe(path).times
    assert [float(times.seconds(i)) for i in range(6)] == [0, 0.04, 0.08, 0.12, 0.16, 0.25]
    assert _numbers(path) == list(range(6))
    assert _numbers(path, start_time=0.05) == [1, 2, 3, 4, 5]


def test_three_equal_timestamps() -> None:
    times = measure_times([5, 6, 6, 6, 8, 8], Fraction(1, 10), [Fraction(10)], 1)
    assert times.time_base == Fraction(1, 60)
    assert times.ticks.tolist() == [0, 6, 10, 14, 18, 21]
    assert times.end == 27


@pytest.mark.parametrize(("suffix", "length"), [(".mov", 10), (".mp4", 1), (".mkv", 10)])
def test_last_frame_is_shown_as_long_as_stored(tmp_path: Path, suffix: str, length: int) -> None:
    options = {"crf": "0", "bf": "0"}
    whole = make_video(tmp_path / "a.nut", level_frames(6), options=options)
    path = copy_video(whole, tmp_path / ("b" + suffix), last_length=length)
    times = probe(path).times
    assert times.ticks.tolist() == list(range(6))
    assert (times.time_base, times.end) == (Fraction(1, 24), 5 + length)
    assert times.rate == (24 if length == 1 else None)
    assert _numbers(path, start_time=float(times.duration) - 0.01) == [5]
    with pytest.raises(InputError, match="start_time"):
        read_frames(path, start_time=float(times.duration), as_stored=True)


def test_last_frame_of_a_variable_rate() -> None:
    stamps = [0, 10, 40, 50, 90]
    assert measure_times(stamps, MS, [Fraction(50)], 70).end == 160
    assert measure_times(stamps, MS, [Fraction(50)], 0).end == 110


def test_one_missing_slot_is_a_gap() -> None:
    """Ticks as long as a frame, as in an AVI file."""
    times = measure_times([0, 1, 2, 4, 5], Fraction(1, 24), [Fraction(24)], 1)
    assert (times.rate, times.ticks.tolist(), times.end) == (None, [0, 1, 2, 4, 5], 6)


def test_20_minutes_without_drift() -> None:
    rate = Fraction(30000, 1001)
    stamps = [round(i / rate * 1000) for i in range(36_000)]
    times = measure_times(stamps, MS, [Fraction(2997, 100)], 33)
    assert (times.rate, times.duration) == (rate, 36_000 / rate)


@pytest.mark.parametrize(
    ("start", "first"), [(0.0, 0), (0.039, 0), (0.04, 1), (0.95, 4), (1.3, 6), (1.76, 7)]
)
def test_start_time(clip: Callable[..., Path], start: float, first: int) -> None:
    options = {"crf": "0", "bf": "2", "g": "3"}
    path = clip("a.mkv", level_frames(8), stamps=UNEVEN, time_base=MS, options=options)
    assert first_frame(probe(path), start, as_stored=True) == first
    assert _numbers(path, start_time=start) == list(range(first, 8))
    assert _numbers(path, start_time=start, max_frames=1) == [first]


def test_each_frame_is_found_by_its_time() -> None:
    times = constant_times(Fraction(30000, 1001), 1000)
    assert [times.shown_at(float(times.seconds(i))) for i in range(1000)] == list(range(1000))
    assert times.shown_at(99) == 999
    assert times.nearest(times.seconds(7) + Fraction(1, 100)) == 7


@pytest.mark.parametrize("count", [1, 2])
def test_short_clips(clip: Callable[..., Path], count: int) -> None:
    path = clip("a.mp4", level_frames(count), rate=Fraction(25, 2))
    times = probe(path).times
    assert (times.rate, times.duration) == (Fraction(25, 2), count / Fraction(25, 2))
    assert _numbers(path) == list(range(count))


def test_a_damaged_picture_of_a_variable_rate(tmp_path: Path) -> None:
    options: dict[str, object] = {"codec": "png", "pixel_format": "rgb24", "options": {}}
    path = make_video(
        tmp_path / "a.mov",
        level_frames(8),
        stamps=UNEVEN,
        time_base=MS,
        **options,  # type: ignore
    )
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][4]
        assert packet.pos is not None
    data = bytearray(path.read_bytes())
    data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"near 0.12 s .*; 4 of 8 frames \(0.9 of"):
        _numbers(path)
    assert _numbers(path, allow_damaged=True) == [0, 1, 2, 3, 3, 5, 6, 7]


def test_rotation_and_pixel_aspect(clip: Callable[..., Path], quadrants: np.ndarray) -> None:
    path = clip("a.mp4", [quadrants] * 2, rotation=-90, pixel_aspect=Fraction(4, 3))
    for frame, stored in zip(read_frames(path), read_frames(path, as_stored=True), strict=True):
        assert stored.shape == (85, 48, 3)
        np.testing.assert_array_equal(frame, stored)
