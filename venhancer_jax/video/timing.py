"""From the timestamps of a stream to one exact frame rate."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

_NTSC_BASES = (12, 15, 24, 30, 48, 60, 72, 96, 120, 144, 240)
_STANDARD_RATES = (
    *(Fraction(n) for n in range(1, 241)),
    *(Fraction(n * 1000, 1001) for n in _NTSC_BASES),
    Fraction(15, 2),
    Fraction(25, 2),
)
# Relative; NTSC rates differ from whole ones by ten times as much.
_HEADER_TOLERANCE = Fraction(1, 10_000)
_LARGEST_RATE_DENOMINATOR = 100_000


@dataclass(frozen=True, kw_only=True)
class Timing:
    """When the frames of a stream are shown.

    Attributes:
      rate: frames per second.
      frames: frames at that rate.
      duration: seconds.
      variable: whether the stored frames are off the constant grid of `rate`.
    """

    rate: Fraction
    frames: int
    duration: Fraction
    variable: bool


def constant_timing(rate: Fraction, frames: int) -> Timing:
    """The timing of `frames` frames spaced evenly."""
    return Timing(rate=rate, frames=frames, duration=frames / rate, variable=False)


def measure_timing(
    stamps: Sequence[int],
    time_base: Fraction,
    header_rates: Iterable[Fraction],
    last_length: int,
) -> Timing:
    """The timing of frames shown at `stamps`.

    The rate is constant if all frames stand, but for the rounding to time-base ticks, on the grid
    of a rate that the header names or of a standard rate, or if none is as far as half a frame
    from the grid of the mean rate: keeping every frame is then better than repeating and dropping.
    All else is variable, and the rate is its mean.

    Args:
      stamps: presentation times in ticks, ascending, at least one.
      time_base: seconds per tick.
      header_rates: rates the file claims, the most trusted first, at least one.
      last_length: ticks the last frame stays; 0 when unknown.
    """
    ticks = np.asarray(stamps, dtype=np.int64) - stamps[0]
    count = len(ticks)
    claimed = [_snapped(rate) for rate in header_rates]
    if count == 1 or ticks[-1] == 0:
        return constant_timing(claimed[0], count)

    mean = (count - 1) / (int(ticks[-1]) * time_base)
    for rate in (*claimed, _nearest_standard(mean)):
        if _largest_offset(ticks, time_base, rate) <= float(time_base):
            return constant_timing(rate, count)
    for rate in (_nearest_standard(mean), mean.limit_denominator(_LARGEST_RATE_DENOMINATOR)):
        if _largest_offset(ticks, time_base, rate) < float(1 / rate) / 2:
            return constant_timing(rate, count)

    last_length = last_length or round(ticks[-1] / (count - 1))
    duration = (int(ticks[-1]) + last_length) * time_base
    rate = (count / duration).limit_denominator(_LARGEST_RATE_DENOMINATOR)
    return Timing(rate=rate, frames=count, duration=duration, variable=True)


def _snapped(rate: Fraction) -> Fraction:
    """The standard rate that a header means by, say, 19001/634; `rate` itself if none is close."""
    standard = _nearest_standard(rate)
    return standard if abs(standard - rate) < _HEADER_TOLERANCE * standard else rate


def _nearest_standard(rate: Fraction) -> Fraction:
    return min(_STANDARD_RATES, key=lambda standard: abs(standard - rate))


def _largest_offset(ticks: np.ndarray, time_base: Fraction, rate: Fraction) -> float:
    """How far, in seconds, the worst frame is from its place on the grid of `rate`."""
    grid = np.arange(len(ticks)) / float(rate)
    # A thousandth of a tick absorbs the rounding of the float arithmetic.
    return float(np.abs(ticks * float(time_base) - grid).max()) - float(time_base) / 1000
