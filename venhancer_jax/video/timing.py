"""From the timestamps of a stream to the times of its pictures, or to one exact frame rate."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

# Frames per second that can be requested and written.
MAX_FPS = Fraction(1000)
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
# Every tick of a fine time base is on a grid of its own.
_LARGEST_GRID_RATE = 240
# Seconds by which Matroska rounds, which stays when its packets are copied to a finer time base.
_ROUNDING = Fraction(1, 1000)
# Seconds; a start time such as 0.7 is a hair before the frame at 7/10 in binary floating point.
TIME_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameTimes:
    """Times at which frames are shown.

    Attributes:
      ticks: time of each frame, int64 `[N]`, strictly ascending from 0, the time of the first one.
      time_base: seconds per tick.
      end: tick at which the last frame ends.
    """

    ticks: np.ndarray
    time_base: Fraction
    end: int

    def __len__(self) -> int:
        """Returns the number of frames."""
        return len(self.ticks)

    @property
    def rate(self) -> Fraction | None:
        """Returns the exact frames per second of frames of equal lengths, else None."""
        steps = np.diff(self.ticks, append=self.end)
        return 1 / (int(steps[0]) * self.time_base) if (steps == steps[0]).all() else None

    @property
    def duration(self) -> Fraction:
        """Returns the seconds from the first frame to the end of the last one."""
        return self.end * self.time_base

    def seconds(self, index: int) -> Fraction:
        """Returns the time of a frame after the first one, in seconds.

        Args:
          index: position of the frame, from 0; the number of frames for the end of the last one.
        """
        return (int(self.ticks[index]) if index < len(self) else self.end) * self.time_base

    def shown_at(self, seconds: float | Fraction) -> int:
        """Returns the index of the frame that is shown at a time.

        Args:
          seconds: time after the first frame, at least 0.
        """
        tick = Fraction(seconds + TIME_TOLERANCE) / self.time_base
        return int(np.searchsorted(self.ticks, math.floor(tick), side="right")) - 1

    def nearest(self, seconds: Fraction) -> int:
        """Returns the index of the frame whose time is nearest.

        Args:
          seconds: time after the first frame.
        """
        tick = seconds / self.time_base
        after = min(int(np.searchsorted(self.ticks, math.ceil(tick))), len(self) - 1)
        before = max(0, after - 1)
        return min(before, after, key=lambda index: abs(int(self.ticks[index]) - tick))


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Times at which the pictures of a stream are shown.

    Attributes:
      rate: frames per second.
      frames: number of frames at that rate.
      duration: length in seconds.
      variable: whether the pictures are unevenly spaced.
      on_grid: whether each picture has a frame of its own, at its own time; False where pictures
        are repeated and dropped.
    """

    rate: Fraction
    frames: int
    duration: Fraction
    variable: bool = False
    on_grid: bool = True


def constant_timing(rate: Fraction, frames: int) -> Timing:
    """Returns the timing of evenly spaced frames.

    Args:
      rate: frames per second.
      frames: number of frames.
    """
    return Timing(rate=rate, frames=frames, duration=frames / rate)


def constant_times(rate: Fraction, frames: int) -> FrameTimes:
    """Returns the times of evenly spaced frames.

    Args:
      rate: frames per second.
      frames: number of frames, at least 1.
    """
    return FrameTimes(ticks=np.arange(frames), time_base=1 / rate, end=frames)


def measure_times(
    stamps: Sequence[int], time_base: Fraction, header_rates: Iterable[Fraction], last_length: int
) -> FrameTimes:
    """Finds the times of pictures from their timestamps.

    Pictures that are evenly spaced but for rounding to ticks are placed on the grid of the exact
    rate. All others keep their timestamps; pictures with equal ones share the time up to the next.

    Args:
      stamps: presentation times in ticks, ascending, at least one.
      time_base: seconds per tick.
      header_rates: rates that the file claims, the most trusted first, at least one.
      last_length: ticks for which the last picture is shown; 0 when unknown.
    """
    ticks = np.asarray(stamps, dtype=np.int64) - stamps[0]
    if (rate := _exact_rate(ticks, time_base, [_snapped(rate) for rate in header_rates])) is None:
        ticks, finer = _ascending(ticks)
        last = last_length * finer or int(np.median(np.diff(ticks)))
        return FrameTimes(ticks=ticks, time_base=time_base / finer, end=int(ticks[-1]) + last)
    last = max(1, round(last_length * time_base * rate))
    return FrameTimes(ticks=np.arange(len(ticks)), time_base=1 / rate, end=len(ticks) - 1 + last)


def measure_timing(
    stamps: Sequence[int],
    time_base: Fraction,
    header_rates: Iterable[Fraction],
    last_length: int,
    slot_rate: Fraction | None = None,
) -> Timing:
    """Finds the frame rate at which pictures with uneven or rounded timestamps are read.

    The first of these rules that applies:

    1. Constant: but for rounding to ticks, every picture is at its place on the grid of a rate that
       the header claims or of a standard rate, or none is as far as half a frame from its place on
       the grid of the mean rate. Keeping every frame is then better than repeating and dropping.
    2. Held: the pictures are unevenly spaced on a known grid, whose slots are as long as the
       shortest gap or as the header claims (an AVI file with empty slots), at most 240 a second.
       They are read at the rate of the grid, each held until the next: none is lost.
    3. Free: all else is read at the mean rate.

    In each case length and sync to sound are those of the stream.

    Args:
      stamps: presentation times in ticks, ascending, at least one.
      time_base: seconds per tick.
      header_rates: rates that the file claims, the most trusted first, at least one.
      last_length: ticks for which the last picture is shown; 0 when unknown.
      slot_rate: rate that the header claims for pictures and empty slots together, or None.
    """
    ticks = np.asarray(stamps, dtype=np.int64) - stamps[0]
    count = len(ticks)
    claimed = [_snapped(rate) for rate in header_rates]
    if count == 1 or ticks[-1] == 0:
        return constant_timing(claimed[0], count)

    mean = (count - 1) / (int(ticks[-1]) * time_base)
    for rate in (*claimed, _nearest_standard(mean)):
        if _largest_offset(ticks, np.arange(count), time_base, rate) <= float(time_base):
            return constant_timing(rate, count)
    for rate in (_nearest_standard(mean), mean.limit_denominator(_LARGEST_RATE_DENOMINATOR)):
        if _largest_offset(ticks, np.arange(count), time_base, rate) < float(1 / rate) / 2:
            return constant_timing(rate, count)

    if (rate := _grid_rate(ticks, time_base, claimed, slot_rate)) is not None:
        last_slot = int(_slots(ticks, time_base, rate)[-1])
        frames = last_slot + max(1, round(last_length * time_base * rate))
        return Timing(rate=rate, frames=frames, duration=frames / rate, variable=True)
    last_length = last_length or round(ticks[-1] / (count - 1))
    duration = (int(ticks[-1]) + last_length) * time_base
    rate = (count / duration).limit_denominator(_LARGEST_RATE_DENOMINATOR)
    return Timing(rate=rate, frames=count, duration=duration, variable=True, on_grid=False)


def _exact_rate(ticks: np.ndarray, time_base: Fraction, claimed: list[Fraction]) -> Fraction | None:
    """Returns the rate of pictures that are evenly spaced but for rounding to ticks; or None."""
    if ticks[-1] == 0:
        return claimed[0]
    steps, slots = np.diff(ticks), np.arange(len(ticks))
    mean = len(steps) / (int(ticks[-1]) * time_base)
    for rate in (*claimed, _nearest_standard(mean)):
        # A tick as long as a frame would hide an empty slot.
        tolerance = min(float(max(time_base, _ROUNDING)), float(1 / rate) / 4)
        if _largest_offset(ticks, slots, time_base, rate) <= tolerance:
            return rate
    return mean if (steps == steps[0]).all() else None


def _ascending(ticks: np.ndarray) -> tuple[np.ndarray, int]:
    """Spreads equal ticks over the time up to the next; returns finer ticks, and their number
    per tick.
    """
    distinct, firsts, counts = np.unique(ticks, return_index=True, return_counts=True)
    finer = math.lcm(*(int(count) for count in set(counts.tolist())))
    step = int(np.median(np.diff(distinct)))
    ends = np.append(distinct[1:], distinct[-1] + step)
    position = np.arange(len(ticks)) - np.repeat(firsts, counts)
    share = np.repeat((ends - distinct) * (finer // counts), counts)
    return ticks * finer + position * share, finer


def _snapped(rate: Fraction) -> Fraction:
    """Returns the standard rate that a header means by, say, 19001/634, or `rate` itself."""
    standard = _nearest_standard(rate)
    return standard if abs(standard - rate) < _HEADER_TOLERANCE * standard else rate


def _nearest_standard(rate: Fraction) -> Fraction:
    return min(_STANDARD_RATES, key=lambda standard: abs(standard - rate))


def _grid_rate(
    ticks: np.ndarray, time_base: Fraction, claimed: list[Fraction], slot_rate: Fraction | None
) -> Fraction | None:
    """Returns the rate on whose grid all pictures are, each in a slot of its own; or None."""
    shortest = int(np.diff(ticks).min()) * time_base
    if shortest <= 0:
        return None
    known = sorted({*claimed, *_STANDARD_RATES, 1 / shortest}, key=lambda r: abs(1 / r - shortest))
    candidates = [rate for rate in known if abs(1 / rate - shortest) <= time_base]
    if slot_rate is not None:
        candidates.insert(0, _snapped(slot_rate))
    for rate in candidates:
        if rate > _LARGEST_GRID_RATE:
            continue
        slots = _slots(ticks, time_base, rate)
        tolerance = min(float(time_base), float(1 / rate) / 4)
        if (
            np.diff(slots).min() >= 1
            and _largest_offset(ticks, slots, time_base, rate) <= tolerance
        ):
            return rate
    return None


def _slots(ticks: np.ndarray, time_base: Fraction, rate: Fraction) -> np.ndarray:
    """Returns the index of the frame at `rate` that is nearest to each tick."""
    return np.rint(ticks * float(time_base * rate)).astype(np.int64)


def _largest_offset(
    ticks: np.ndarray, slots: np.ndarray, time_base: Fraction, rate: Fraction
) -> float:
    """Returns the largest distance in seconds between a picture and its slot on a grid."""
    distances = np.abs(ticks * float(time_base) - slots / float(rate))
    # A thousandth of a tick absorbs the rounding of the float arithmetic.
    return float(distances.max()) - float(time_base) / 1000
