"""Changes of a result as a picture of lines and marks, for a template to draw."""

import dataclasses
import math

import numpy as np

from venhancer_jax.report.changes import Profile
from venhancer_jax.report.clips import Clip

# Units of the picture, and the room for its axes.
WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 14, 40
_KINDS = {
    "windows": ("window border", "window borders"),
    "segments": ("segment border", "segment borders"),
    "tiles": ("tile border", "tile borders"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mark:
    """A border.

    Attributes:
      x: horizontal position.
      y: vertical position.
      kind: kind of border.
      text: description.
    """

    x: float
    y: float
    kind: str
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot of jumps, in units of the picture.

    Attributes:
      title: heading.
      text: what the plot shows, as a sentence.
      x_label: label of the horizontal axis.
      paths: lines, as values of the attribute `d`.
      marks: borders.
      cuts: horizontal positions of scene cuts.
      x_ticks: position and text of the ticks of the horizontal axis.
      y_ticks: position and text of the ticks of the vertical axis.
      kinds: kinds of borders that are shown.
    """

    title: str
    text: str
    x_label: str
    paths: list[str]
    marks: list[Mark]
    cuts: list[float]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    kinds: list[str]


def plot_time(profile: Profile, output: Clip) -> Plot:
    """Plots changes from frame to frame.

    Args:
      profile: the changes.
      output: the result, for the times of its frames.
    """
    seconds = np.array([output.seconds_at(int(p)) for p in profile.positions])
    ends = output.seconds_at(0), max(output.seconds_at(output.frames - 1), 1e-3)
    return _plot(
        profile,
        seconds,
        ends,
        title="From frame to frame",
        unit="s",
        x_label="time in the result, seconds",
        gap=3 * output.seconds / max(1, output.frames),
    )


def plot_side(profile: Profile, side: str) -> Plot:
    """Plots changes from row to row, or from column to column.

    Args:
      profile: the changes.
      side: `rows` or `columns`.
    """
    places = profile.positions.astype(np.float64)
    return _plot(
        profile,
        places,
        (0.0, float(places[-1])),
        title=f"From {side[:-1]} to {side[:-1]}",
        unit="px",
        x_label=f"{side} of the result, pixels",
        gap=2.0,
    )


def describe_index(profile: Profile, kind: str) -> str:
    """Describes in a sentence how much borders of a kind show."""
    one, many = _KINDS[kind]
    count, index = len(profile.borders[kind]), profile.index(kind)
    named = f"1 {one}" if count == 1 else f"{count} {many}"
    if index is None:
        return f"{named}, not measured"
    text = f"{named}: {index:.2f} times the change elsewhere"
    if (baseline := profile.baseline.get(kind)) is not None:
        text += f" (the input has {baseline:.2f} there)"
    return text


def _plot(
    profile: Profile,
    places: np.ndarray,
    ends: tuple[float, float],
    *,
    title: str,
    unit: str,
    x_label: str,
    gap: float,
) -> Plot:
    usual = float(np.median(profile.jumps)) or float(profile.jumps.mean()) or 1.0
    ratios = profile.jumps / usual
    within = ~np.isin(profile.positions, profile.excluded)
    top = max(2.0, float(ratios[within].max(initial=1.0)) * 1.1)

    def x(place: float) -> float:
        share = (place - ends[0]) / max(ends[1] - ends[0], 1e-9)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(ratio: float) -> float:
        return round(HEIGHT - BOTTOM - min(ratio / top, 1.0) * (HEIGHT - TOP - BOTTOM), 1)

    marks = []
    for kind, borders in profile.borders.items():
        for i in np.flatnonzero(np.isin(profile.positions, borders)):
            text = f"{_KINDS[kind][0]} at {places[i]:.4g} {unit}: {ratios[i]:.2f} × the median"
            marks.append(Mark(x=x(places[i]), y=y(ratios[i]), kind=kind, text=text))
    shown = [describe_index(profile, kind) for kind in profile.borders]
    text = f"{title}: mean difference of neighbours over its median."
    text += f" {'; '.join(shown)}." if shown else " No borders are known."
    return Plot(
        title=title,
        text=text,
        x_label=x_label,
        paths=_paths(places, [x(p) for p in places], [y(r) for r in ratios], gap),
        marks=marks,
        cuts=[x(float(p)) for p in places[~within]],
        x_ticks=[(x(t), f"{t:g}") for t in _ticks(*ends)],
        y_ticks=[(y(t), f"{t:g}×") for t in _ticks(0.0, top)],
        kinds=list(profile.borders),
    )


def _paths(places: np.ndarray, xs: list[float], ys: list[float], gap: float) -> list[str]:
    """Joins neighbouring points; places that are further apart were not measured between."""
    parts = np.split(np.arange(len(places)), np.flatnonzero(np.diff(places) > gap) + 1)
    return ["M" + " L".join(f"{xs[i]:g} {ys[i]:g}" for i in part) for part in parts if len(part)]


def _ticks(low: float, high: float) -> list[float]:
    """Returns about five round numbers from `low` to `high`."""
    rough = (high - low) / 5 or 1.0
    power = 10 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1, 2, 5, 10) if f * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 9) for i in range(first, math.floor(high / step + 1e-9) + 1)]
