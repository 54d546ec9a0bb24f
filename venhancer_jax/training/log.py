"""Metrics of a run, one JSON object a line."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


class MetricsLog:
    """Appends to `metrics.jsonl`; floats are printed so that they read back bit-equal."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a")

    def write(self, step: int, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Writes one object and returns it; arrays become lists."""
        values = {name: _plain(value) for name, value in metrics.items()}
        record = {"step": step, **values}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        return record

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _plain(value: Any) -> Any:
    # A float64 holds every float32 exactly, and Python prints what reads back to it.
    return np.asarray(value, np.float64).tolist()
