"""Metrics of a run, one JSON object a line."""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath


class MetricsLog:
    """Appends to `metrics.jsonl`; floats are printed so that they read back bit-equal.

    Remote files cannot be appended to, so that they are written anew with each line.
    """

    def __init__(self, path: epath.PathLike, *, after: int | None = None):
        """Opens the file.

        Args:
          path: local or remote.
          after: step at which the run goes on; later lines, of steps that will be done again, are
            dropped, and so is a last line that was cut off. None keeps everything.
        """
        self._path = epath.Path(path)
        self._remote = "://" in os.fspath(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._kept = ""
        if self._path.exists():
            self._kept = self._path.read_text()
            if after is not None:
                self._kept = "".join(_lines_to(self._kept, after))
                _replace(self._path, self._kept)
        self._file = None if self._remote else self._path.open("a")

    def write(self, step: int, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Writes one object and returns it; arrays become lists."""
        record = {"step": step, **{name: _plain(value) for name, value in metrics.items()}}
        line = json.dumps(record) + "\n"
        if self._file is None:
            self._kept += line
            self._path.write_text(self._kept)
        else:
            self._file.write(line)
            self._file.flush()
        return record

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()


def _lines_to(text: str, step: int) -> list[str]:
    """The whole lines up to a step."""
    lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in lines if json.loads(line)["step"] <= step]


def _replace(path: epath.Path, text: str) -> None:
    """Writes beside the file first: it is the old or the new one, whatever happens."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text)
    beside.replace(path)


def _plain(value: Any) -> Any:
    # A float64 holds every float32 exactly, and Python prints what reads back to it.
    return np.asarray(value, np.float64).tolist()
