"""What a result took and where its parts meet, over all runs that worked on it."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import jax

from venhancer_jax.pipelines.frame_times import OutputClock
from venhancer_jax.pipelines.job_folder import SegmentRecord
from venhancer_jax.pipelines.segments import Segment
from venhancer_jax.pipelines.stages import Laps, StageMeter, StageUse, sum_uses
from venhancer_jax.pipelines.system import Borders, Clip, System


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Record of the runs that a result took.

    Attributes:
      started: time at which each run began that finished a part, ISO 8601 in UTC.
      seconds: time of all runs until their last finished part.
      stages: what each stage used.
      devices: number and kind of the devices of the last run.
      segments: first frame of each segment that continues the one before it.
      scenes: first frame of each scene but the first.
      windows: first frame behind each border of windows within a segment.
      rows: first row below each border of tiles.
      columns: first column right of each border of tiles.
    """

    started: tuple[str, ...]
    seconds: float
    stages: Mapping[str, StageUse]
    devices: str
    segments: tuple[int, ...] = ()
    scenes: tuple[int, ...] = ()
    windows: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()

    @property
    def resumed(self) -> int:
        """Returns how often the work was resumed."""
        return max(0, len(self.started) - 1)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RunRecord":
        """Builds a record from the values of `to_dict`."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        fields["stages"] = {name: StageUse(**use) for name, use in values["stages"].items()}
        return cls(**fields)


class MeasuredRun:
    """Clocks of one run, one for each of its threads.

    Attributes:
      reading: clock of the thread that reads.
      computing: clock of the thread that computes.
      writing: clock of the thread that writes.
    """

    def __init__(self) -> None:
        self._meter = StageMeter()
        self._run = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._taken = time.perf_counter()
        self.reading, self.computing, self.writing = (Laps(self._meter) for _ in range(3))

    def take(self) -> dict[str, Any]:
        """Returns what was measured since the last call, as JSON values."""
        before, self._taken = self._taken, time.perf_counter()
        return {"run": self._run, "seconds": self._taken - before, "stages": self._meter.take()}


def record_of(
    records: Sequence[SegmentRecord], last: Mapping[str, Any], borders: Borders
) -> RunRecord:
    """Returns the record of a result.

    Args:
      records: records of all segments, in order.
      last: what was measured after the last segment.
      borders: borders of tiles.
    """
    measured = [each for each in (*(r.measured for r in records), last) if each]
    found: dict[str, list[int]] = {"segments": [], "scenes": [], "windows": []}
    frame = 0
    for i, record in enumerate(records):
        if i and frame:
            before = records[i - 1].after
            found["scenes" if before.first == before.scene else "segments"].append(frame)
        found["windows"] += [frame + window for window in record.windows]
        frame += record.count
    return RunRecord(
        started=tuple(sorted({each["run"] for each in measured})),
        seconds=sum(each["seconds"] for each in measured),
        stages=sum_uses(each["stages"] for each in measured),
        devices=f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        rows=borders.rows,
        columns=borders.columns,
        **{name: tuple(frame for frame in frames if frame) for name, frames in found.items()},
    )


def window_borders(
    system: System, segment: Segment, clip: Clip, clock: OutputClock, options: Any
) -> list[int]:
    """Returns the first picture behind each border of windows in a segment, from its first one.

    Args:
      system: networks.
      segment: segment whose frames are read.
      clip: input clip.
      clock: times at which the frames of the output are shown.
      options: options of the system.
    """
    length = dataclasses.replace(clip, frames=segment.read_stop - segment.start)
    grid = system.plan(length, options).borders.frames
    lead = (segment.first - segment.start) * clock.stride
    outputs = clock.outputs(
        segment.times, ends_scene=segment.ends_scene, ends_clip=segment.ends_clip
    )
    pictures = (
        next((i for i, (index, _) in enumerate(outputs) if index >= border - lead), 0)
        for border in grid
    )
    return sorted({picture for picture in pictures if picture})
