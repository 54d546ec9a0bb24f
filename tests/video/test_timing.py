"""Exact rates from rounded timestamps and rounded headers."""

from fractions import Fraction

import pytest

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
    timing = measure_timing([0, 100, 200, 1200], Fraction(1, 1000), [Fraction(10)], 800)
    assert timing.variable
    assert (timing.duration, timing.rate) == (2, 2)
