"""Exact rates from rounded timestamps and rounded headers."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from video.video_clips import make_video

from venhancer_jax.video import probe, read_frames
from venhancer_jax.video.timing import measure_timing


def _stamps(rate: Fraction, time_base: Fraction, count: int) -> list[int]:
    return [round(number / rate / time_base) for number in range(count)]


@pytest.mark.parametrize("time_base", [Fraction(1, 1000), Fraction(1, 90000)])
@pytest.mark.parametrize("rate", ["24", "24000/1001", "30000/1001", "50", "60000/1001"])
@pytest.mark.parametrize("error", [0, 5e-5])
def test_rounded_headers_and_stamps(rate: str, time_base: Fraction, error: float) -> None:
    true = Fraction(rate)
    header = true * (1 + Fraction(error))
    timing = measure_timing(_stamps(true, time_base, 50), time_base, [header], 0)
    assert (timing.rate, timing.frames, timing.variable) == (true, 50, False)


def test_wrong_header_yields_to_the_stamps() -> None:
    time_base = Fraction(1, 90000)
    stamps = _stamps(Fraction(24000, 1001), time_base, 100)
    assert measure_timing(stamps, time_base, [Fraction(50)], 0).rate == Fraction(24000, 1001)


def test_unusual_exact_rate_is_kept() -> None:
    rate, time_base = Fraction(1199, 20), Fraction(1, 19184)
    timing = measure_timing(_stamps(rate, time_base, 1730), time_base, [rate], 0)
    assert (timing.rate, timing.duration) == (rate, 1730 / rate)


def test_variable_duration_holds_the_last_frame() -> None:
    timing = measure_timing([0, 100, 230, 1200], Fraction(1, 1000), [Fraction(10)], 800)
    assert timing.variable and not timing.on_grid
    assert (timing.duration, timing.rate, timing.frames) == (2, 2, 4)


def test_pictures_on_a_grid_are_held() -> None:
    """Slots of 1/15 s, as in an AVI file that lists 20 of them."""
    timing = measure_timing(
        [0, 3, 7, 9, 15], Fraction(1, 15), [Fraction(15, 4)], 5, slot_rate=Fraction(15)
    )
    assert (timing.rate, timing.frames, timing.duration) == (15, 20, Fraction(4, 3))
    assert timing.variable and timing.on_grid


def test_grid_of_the_shortest_gap() -> None:
    stamps = [round(1000 * slot / 30) for slot in (0, 1, 2, 7, 8, 19)]
    timing = measure_timing(stamps, Fraction(1, 1000), [Fraction(8)], 33)
    assert (timing.rate, timing.frames, timing.on_grid) == (30, 20, True)


@pytest.mark.parametrize(
    ("stamps", "last_length"),
    [([0, 1, 40, 73, 120, 160], 40), ([0, 40, 80, 121, 255, 333], 40), ([0, 2, 39, 80], 40)],
)
def test_no_grid_where_pictures_have_none(stamps: list[int], last_length: int) -> None:
    """A tick of a millisecond is no grid of 1,000 frames a second."""
    timing = measure_timing(stamps, Fraction(1, 1000), [Fraction(25)], last_length)
    assert not timing.on_grid
    assert timing.frames == len(stamps)


def test_avi_of_mostly_empty_slots(tmp_path: Path) -> None:
    """68 pictures in 444 slots of 1/15 s are 15 frames a second, each held until the next."""
    slots = np.sort(np.random.default_rng(0).permutation(np.arange(1, 443))[:66])
    slots = [0, *slots.tolist(), 443]
    pictures = [np.full((48, 64, 3), 3 * i + 20, np.uint8) for i in range(68)]
    path = make_video(
        tmp_path / "a.avi",
        pictures,
        rate=Fraction(15),
        codec="ffv1",
        pixel_format="gray",
        stamps=slots,
        options={},
    )
    info = probe(path)
    assert (info.rate, info.frames, info.variable_rate, info.damage) == (15, 444, True, "")
    shown = [round((float(frame.mean()) - 20) / 3) for frame in read_frames(info)]
    assert shown == (np.searchsorted(slots, np.arange(444), side="right") - 1).tolist()
    part = list(read_frames(info, start_time=200 / 15, max_frames=20))
    assert [round((float(frame.mean()) - 20) / 3) for frame in part] == shown[200:220]


def test_empty_slots_behind_the_last_picture(tmp_path: Path) -> None:
    """The header lists 20 slots, of which the last six are empty."""
    slots = [0, 3, 4, 9, 13]
    pictures = [np.full((48, 64, 3), 40 * i + 20, np.uint8) for i in range(5)]
    path = make_video(
        tmp_path / "a.avi",
        pictures,
        rate=Fraction(15),
        codec="ffv1",
        pixel_format="gray",
        stamps=slots,
        options={},
    )
    assert probe(path).frames == 14
    data = bytearray(path.read_bytes())
    length = data.index(b"strh") + 8 + 32
    data[length : length + 4] = (20).to_bytes(4, "little")
    path.write_bytes(data)
    info = probe(path)
    assert (info.rate, info.frames, info.damage) == (15, 20, "")
    shown = [round((float(frame.mean()) - 20) / 40) for frame in read_frames(info)]
    assert shown == (np.searchsorted(slots, np.arange(20), side="right") - 1).tolist()
