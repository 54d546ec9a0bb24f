"""Changes of a result: from frame to frame, and across the borders of its parts."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np

from venhancer_jax.metrics.seams import jump_ratio
from venhancer_jax.pipelines.run_record import RunRecord
from venhancer_jax.report.clips import Clip

# Frames that are read at most; of longer results those around borders, and others to compare with.
MOST_FRAMES = 240
_AROUND = 4
# Rows and columns of the blocks of codecs and of latents, between which there are jumps too.
_BLOCK = 8
# Frames on which jumps between rows and columns are measured.
_SIDE_FRAMES = 16
# Pixels at most of a frame on which changes in time are measured.
_PIXELS = 640 * 360


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """Jumps along an axis, and borders on it.

    Attributes:
      positions: positions of the second of two neighbours, `[N]`.
      jumps: mean absolute difference of the neighbours in levels of 255, `[N]`.
      borders: positions of borders by their kind.
      excluded: positions of scene cuts, which are no borders.
      baseline: index of the input at the borders by their kind, where it is known.
      period: least distance of borders; jumps at other distances of them say nothing, as between
        new frames and those of the input, or within blocks of pixels.
    """

    positions: np.ndarray
    jumps: np.ndarray
    borders: dict[str, tuple[int, ...]]
    excluded: tuple[int, ...] = ()
    baseline: dict[str, float] = dataclasses.field(default_factory=dict)
    period: int = 1

    def index(self, kind: str) -> float | None:
        """Returns the mean jump at borders of a kind over that elsewhere; None without either."""
        at = np.isin(self.positions, self.borders[kind])
        others = [p for name, ps in self.borders.items() if name != kind for p in ps]
        counted = ~np.isin(self.positions, [*others, *self.excluded])
        phases = {border % self.period for border in self.borders[kind]}
        counted &= np.isin(self.positions % self.period, list(phases))
        return _ratio(self.jumps, at, counted)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Changes:
    """Changes of a result.

    Attributes:
      time: changes from frame to frame; None for a single frame.
      sides: changes from row to row, and from column to column, where there are tiles.
      frames: number of frames that were measured.
    """

    time: Profile | None
    sides: dict[str, Profile]
    frames: int

    @property
    def largest(self) -> int | None:
        """Returns the frame behind the largest change within a scene; None without any."""
        if self.time is None:
            return None
        within = ~np.isin(self.time.positions, self.time.excluded)
        if not within.any() or self.time.jumps[within].max() == 0:
            return None
        return int(self.time.positions[within][self.time.jumps[within].argmax()])


def measure_changes(output: Clip, source: Clip, run: RunRecord | None) -> Changes:
    """Measures the changes of a result.

    Args:
      output: the result.
      source: the input, whose own jumps at the borders of tiles are compared with.
      run: record of the runs; None if borders are not known.

    Raises:
      InputError: a video cannot be read.
    """
    borders: dict[str, tuple[int, ...]] = {}
    if run is not None:
        borders = {"segments": run.segments, "windows": run.windows}
    borders = {kind: found for kind, found in borders.items() if found}
    sums = {s: np.zeros(1) for s in ("rows", "columns") if run is not None and getattr(run, s)}
    runs = sampled_runs(output.frames, [f for group in borders.values() for f in group])
    count = sum(stop - start for start, stop in runs)
    jumps: dict[int, float] = {}
    own: dict[int, float] = {}
    for start, stop in runs:
        pictures = _summed(output.read(start, stop), sums, every=max(1, count // _SIDE_FRAMES))
        jumps |= _frame_jumps(pictures, start)
        first, last = (source.index_at(output.seconds_at(i)) for i in (start, stop - 1))
        own |= _frame_jumps(source.read(first, last + 1), first)
    scenes = () if run is None else run.scenes
    time = _profile(jumps, borders, scenes, max(1, output.frames // source.frames))
    if time is not None:
        at = {kind: _at_source(source, output, found) for kind, found in borders.items()}
        before = _profile(own, at, _at_source(source, output, scenes), 1)
        found = {} if before is None else {kind: before.index(kind) for kind in borders}
        known = {kind: index for kind, index in found.items() if index is not None}
        time = dataclasses.replace(time, baseline=known)
    return Changes(
        time=time,
        sides={s: _side(s, jump, source, output, getattr(run, s)) for s, jump in sums.items()},
        frames=count,
    )


def sampled_runs(frames: int, borders: Sequence[int]) -> list[tuple[int, int]]:
    """Returns ranges of frames to measure: all, or at most `MOST_FRAMES` in short runs.

    Args:
      frames: number of frames.
      borders: frames around which runs are wanted, spread evenly if they are too many.
    """
    if frames <= MOST_FRAMES:
        return [(0, frames)]
    length = 2 * _AROUND + 1
    room = MOST_FRAMES // length
    ordered = sorted(set(borders))
    picks = [ordered[i * len(ordered) // room] for i in range(room)] if len(ordered) > room else (
        ordered
    )  # fmt: skip
    rest = max(room - len(picks), 4)
    picks = [*picks, *((2 * i + 1) * frames // (2 * rest) for i in range(rest))]
    runs: list[tuple[int, int]] = []
    for pick in sorted(picks):
        start, stop = max(0, pick - _AROUND - 1), min(frames, pick + _AROUND)
        if runs and start <= runs[-1][1]:
            start, stop = runs.pop()[0], stop
        runs.append((start, stop))
    return runs


def _profile(
    jumps: dict[int, float],
    borders: dict[str, tuple[int, ...]],
    scenes: tuple[int, ...],
    period: int,
) -> Profile | None:
    """Returns the profile of jumps by their position; None without any."""
    if not jumps:
        return None
    positions = sorted(jumps)
    return Profile(
        positions=np.array(positions),
        jumps=np.array([jumps[position] for position in positions]),
        borders=borders,
        excluded=scenes,
        period=period,
    )


def _at_source(source: Clip, output: Clip, frames: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the frames of the input at the times of frames of the output."""
    return tuple(source.index_at(output.seconds_at(frame)) for frame in frames)


def _side(
    side: str, jumps: np.ndarray, source: Clip, output: Clip, borders: tuple[int, ...]
) -> Profile:
    axis = 0 if side == "rows" else 1
    own = _side_jumps(source.frame(source.frames // 2), side)
    scale = source.size[axis] / output.size[axis]
    at = np.isin(np.arange(1, len(own) + 1), [round(b * scale) for b in borders])
    index = _ratio(own, at, np.ones_like(at))
    return Profile(
        positions=np.arange(1, len(jumps) + 1),
        jumps=jumps,
        borders={"tiles": borders},
        baseline={} if index is None else {"tiles": index},
        period=math.gcd(_BLOCK, *borders),
    )


def _ratio(jumps: np.ndarray, at: np.ndarray, counted: np.ndarray) -> float | None:
    """Returns the mean jump at borders over that of the others; None without either."""
    chosen = at[counted]
    return jump_ratio(jumps[counted], chosen) if chosen.any() and not chosen.all() else None


def _frame_jumps(frames: Iterable[np.ndarray], start: int) -> dict[int, float]:
    """Returns the mean absolute difference of each frame and the one before it."""
    jumps, before = {}, None
    for index, frame in enumerate(frames, start):
        small = _small(frame)
        if before is not None:
            jumps[index] = float(cv2.absdiff(small, before).mean())
        before = small
    return jumps


def _summed(
    frames: Iterable[np.ndarray], sums: dict[str, np.ndarray], *, every: int
) -> Iterator[np.ndarray]:
    """Yields frames; adds the jumps between rows and columns of some of them to sums."""
    for index, frame in enumerate(frames):
        if index % every == 0:
            for side in sums:
                sums[side] = sums[side] + _side_jumps(frame, side)
        yield frame


def _side_jumps(frame: np.ndarray, side: str) -> np.ndarray:
    """Returns the mean absolute difference of neighbouring rows or columns."""
    if side == "rows":
        return cv2.absdiff(frame[1:], frame[:-1]).mean(axis=(1, 2))
    return cv2.absdiff(
        np.ascontiguousarray(frame[:, 1:]), np.ascontiguousarray(frame[:, :-1])
    ).mean(axis=(0, 2))


def _small(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    share = (_PIXELS / (height * width)) ** 0.5
    if share >= 1:
        return frame
    size = max(1, round(width * share)), max(1, round(height * share))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
