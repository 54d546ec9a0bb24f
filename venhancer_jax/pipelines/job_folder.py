"""The job folder of an output: finished segments, and what is needed to resume after them.

  OUT.mp4.job/manifest.json     what the output follows from: input, options, weights, version
  OUT.mp4.job/000012.mp4        a finished segment, which players can show
  OUT.mp4.job/000012.npz        latents that the next segment continues
  OUT.mp4.job/000012.json       record of the segment, written last

A file takes its name when it is whole. A segment counts if its record is there and matches the
file. The folder goes when the output is complete.
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.files import (
    atomic_file,
    atomic_folder,
    atomic_write,
    content_digest,
    remove_partials,
)
from venhancer_jax.pipelines.continuation import FinishedLatents
from venhancer_jax.pipelines.segments import Position
from venhancer_jax.pipelines.stream import STREAM_START, StreamedSegment, StreamState

_FORMAT = 1
_MANIFEST = "manifest.json"
_RESTART = "Repeat the settings to resume, or set --config.restart=True to discard them"
# Latents are kept of every so many segments, so that a lost segment costs few others.
_KEPT_LATENTS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentRecord:
    """Record of a finished segment.

    Attributes:
      count: pictures of the segment.
      tick: tick of its first picture.
      digest: digest of the file; empty for a segment without pictures.
      latents: digest of the latents; empty where the scene ends.
      after: position of the next segment.
      ends_clip: whether the clip ends with the segment.
      windows: first picture behind each border of windows in the segment.
      measured: what was measured since the record before it (`MeasuredRun.take`).
    """

    count: int
    tick: int
    digest: str
    latents: str
    after: Position
    ends_clip: bool
    windows: Sequence[int] = ()
    measured: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Gap:
    """Segments that are not finished.

    Attributes:
      state: state from which they are computed.
      stop: index of the first finished segment after them; None at the end of the clip.
    """

    state: StreamState
    stop: int | None


class JobFolder:
    """Finished segments of one output.

    Attributes:
      path: the folder.
    """

    def __init__(self, target: Path, facts: Mapping[str, Any], suffix: str) -> None:
        """Sets the folder; `open` creates it.

        Args:
          target: final name of the output.
          facts: JSON values that the output follows from, by name.
          suffix: suffix of segment files; empty where a segment is a folder of images.
        """
        self.path = job_path(target)
        self._target = target
        self._manifest = self.path / _MANIFEST
        self._facts = json.loads(json.dumps(dict(facts)))
        self._suffix = suffix
        self._records: dict[int, SegmentRecord] = {}

    def open(self, *, restart: bool) -> None:
        """Creates the folder, or checks which segments of an older run are whole.

        Args:
          restart: whether an older run is discarded.

        Raises:
          InputError: an older run had other facts.
          OSError: the folder cannot be written.
        """
        if restart:
            self.remove()
        self.path.mkdir(parents=True, exist_ok=True)
        remove_partials(self.path)
        older = _read_json(self._manifest)
        records = {
            int(path.stem): _read_json(path)
            for path in self.path.glob("*.json")
            if path.stem.isdecimal()
        }
        if older.get("format") == _FORMAT and isinstance(older.get("facts"), dict):
            self._check_facts(older["facts"])
        elif any(r.get("facts", "") != self._facts_digest() for r in records.values() if r):
            raise InputError(
                f"{self.path}: holds finished parts of a run with other settings, and manifest.json"
                f" cannot be read. {_RESTART}"
            )
        atomic_write(
            self._manifest,
            json.dumps({"format": _FORMAT, "facts": self._facts}, indent=1, default=str),
        )
        for index, stored in sorted(records.items()):
            if (record := self._checked(index, stored)) is not None:
                self._records[index] = record

    @property
    def finished(self) -> int:
        """Returns the number of finished segments."""
        return len(self._records)

    @property
    def finished_frames(self) -> int:
        """Returns the number of pictures of the finished segments."""
        return sum(record.count for record in self._records.values())

    def is_finished(self, index: int) -> bool:
        """Returns whether a segment is finished."""
        return index in self._records

    def next_gap(self) -> Gap | None:
        """Returns the first run of segments to compute; None if all are finished."""
        index = 0
        while (record := self._records.get(index)) is not None:
            if record.ends_clip:
                return None
            index += 1
        later = [i for i in self._records if i > index]
        return Gap(self._state_before(index), min(later, default=None))

    def _state_before(self, index: int) -> StreamState:
        """Returns the latest state, at most that before segment `index`, that is stored."""
        for i in range(index - 1, -1, -1):
            record = self._records[i]
            if not record.latents:
                return StreamState(record.after, None)
            if (finished := self._load_latents(i, record)) is not None:
                return StreamState(record.after, finished)
        return STREAM_START

    def segments(self) -> list[tuple[Path, int]]:
        """Returns file and first tick of all segments with pictures, in order."""
        ordered = sorted(self._records.items())
        return [(self._file(i), record.tick) for i, record in ordered if record.count]

    def records(self) -> list[SegmentRecord]:
        """Returns the records of all finished segments, in order."""
        return [record for _, record in sorted(self._records.items())]

    def add(
        self,
        streamed: StreamedSegment,
        write: Callable[[Path], int],
        measured: Callable[[], Mapping[str, Any]] = dict,
        windows: Callable[[], Sequence[int]] = tuple,
    ) -> None:
        """Stores a finished segment.

        Args:
          streamed: segment of the output.
          write: function that writes the pictures to a path and returns the tick of the first one.
          measured: function that returns, after the pictures are written, what was measured.
          windows: function that returns the first picture behind each border of windows.

        Raises:
          OSError: it cannot be stored.
        """
        index = streamed.segment.index
        tick, digest, latents = 0, "", ""
        if streamed.count:
            atomic = atomic_file if self._suffix else atomic_folder
            with atomic(self._file(index)) as partial:
                tick = write(Path(partial))
                digest = content_digest(Path(partial))
        if (finished := streamed.after.finished) is not None:
            with atomic_file(self._latents(index)) as partial, partial.open("wb") as file:
                np.savez(file, first=finished.first, values=finished.values)
            latents = content_digest(self._latents(index))
        record = SegmentRecord(
            count=streamed.count,
            tick=tick,
            digest=digest,
            latents=latents,
            after=streamed.after.position,
            ends_clip=streamed.ends_clip,
            windows=list(windows()),
            measured=measured(),
        )
        stored = dataclasses.asdict(record) | {"facts": self._facts_digest()}
        stored["check"] = _json_digest(stored)
        atomic_write(self.path / f"{index:06d}.json", json.dumps(stored))
        self._records[index] = record
        if (index - 1) % _KEPT_LATENTS:
            self._latents(index - 1).unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes the folder and all that is in it."""
        if self.path.exists():
            # The manifest goes first: what is left of a removal that is interrupted is no job.
            for record in sorted(self.path.glob("*.json"), reverse=True):
                record.unlink()
            shutil.rmtree(self.path)
        self._records.clear()

    def _check_facts(self, older: Mapping[str, Any]) -> None:
        changed = [
            f"{name} was {older.get(name)!r}, is {self._facts.get(name)!r}"
            for name in sorted(older.keys() | self._facts.keys())
            if older.get(name) != self._facts.get(name)
        ]
        if changed:
            raise InputError(
                f"{self._target}: {self.path} holds finished parts of a run with other settings:"
                f" {'; '.join(changed)}. {_RESTART}"
            )

    def _checked(self, index: int, stored: dict[str, Any]) -> SegmentRecord | None:
        """Returns the record of a segment whose file is whole, else None."""
        if stored.pop("check", None) != _json_digest(stored):
            return None
        if stored.pop("facts") != self._facts_digest():
            return None
        after = Position(**stored.pop("after"))
        record = SegmentRecord(after=after, **stored)
        if record.after.index != index + 1:
            return None
        file = self._file(index)
        if record.count and not (file.exists() and content_digest(file) == record.digest):
            return None
        return record

    def _load_latents(self, index: int, record: SegmentRecord) -> FinishedLatents | None:
        path = self._latents(index)
        if not path.exists() or content_digest(path) != record.latents:
            return None
        with np.load(path) as stored:
            return FinishedLatents(int(stored["first"]), stored["values"])

    def _file(self, index: int) -> Path:
        return self.path / f"{index:06d}{self._suffix}"

    def _latents(self, index: int) -> Path:
        return self.path / f"{index:06d}.npz"

    def _facts_digest(self) -> str:
        return _json_digest(self._facts)


def is_done(target: Path) -> bool:
    """Returns whether an output is there and no run of it was interrupted."""
    there = any(target.iterdir()) if target.is_dir() else target.exists()
    return there and not (job_path(target) / _MANIFEST).exists()


def job_path(target: Path) -> Path:
    """Returns the job folder of an output."""
    return target.with_name(f"{target.name}.job")


def _json_digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    """Returns the JSON object of a file; an empty one if it is missing or damaged."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
