"""Metrics of a run: means since the last line, speed, and where they are written."""

import dataclasses
import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath
from tensorboardX import SummaryWriter

from venhancer_jax.files import atomic_write
from venhancer_jax.sharding.processes import is_main_process
from venhancer_jax.training.data import DataIterator
from venhancer_jax.training.objective import Metrics

# What a step says of itself, besides measures.
_FLAGS = ("finite", "updated", "skipped")


def mean_metrics(steps: Sequence[Metrics]) -> dict[str, Any]:
    """Averages the metrics of several steps on the host, which waits for them.

    Args:
      steps: metrics of `make_step`, a dictionary for each step.

    Returns:
      Mean of each metric over the steps that were not skipped, of `update_norm` over the updates;
      and `skipped_steps`, the number of skipped steps.
    """
    values: list[dict[str, Any]] = jax.device_get(list(steps))
    finite = [v for v in values if v["finite"]]
    means = {
        name: np.mean([v[name] for v in finite or values], axis=0, dtype=np.float64)
        for name in values[0]
        if name not in _FLAGS
    }
    updates = [v["update_norm"] for v in finite if v["updated"]]
    means["update_norm"] = np.mean(updates, dtype=np.float64) if updates else np.float64(0)
    return means | {"skipped_steps": len(values) - len(finite)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """Operations of a step, and what the devices could do.

    Attributes:
      flops: operations of the model in one step, on all devices, without recomputation.
      peak_flops: operations per second of one device, 0 if unknown.
    """

    flops: int = 0
    peak_flops: float = 0.0


class Throughput:
    """Times and rates since the last reading."""

    def __init__(self, work: Work):
        """Starts the clock."""
        self._work = work
        self.restart()

    def restart(self) -> None:
        """Starts the clock again, to exclude what is not training."""
        self._since, self._waited, self._steps, self._clips = time.perf_counter(), 0.0, 0, 0

    def next(self, data: DataIterator) -> dict[str, np.ndarray]:
        """Returns the next batch and counts its step; the wait for it counts as data wait."""
        start = time.perf_counter()
        batch = next(data)
        self._waited += time.perf_counter() - start
        self._steps += 1
        self._clips += len(batch["video"]) * jax.process_count()
        return batch

    def read(self) -> dict[str, float]:
        """Returns times and rates since the last reading, and starts the clock again."""
        seconds = time.perf_counter() - self._since
        step_seconds = seconds / self._steps
        per_device = self._work.flops / step_seconds / jax.device_count()
        values = {
            "step_seconds": step_seconds,
            "data_wait_share": self._waited / seconds,
            "clips_per_second": self._clips / seconds,
            "tflops_per_device": per_device / 1e12,
        }
        if self._work.peak_flops:
            values["mfu"] = per_device / self._work.peak_flops
        self.restart()
        return values


class MetricsWriter:
    """Writes metrics and pictures to `metrics.jsonl` and TensorBoard, on the main process only.

    Floats in `metrics.jsonl` read back bit-equal. TensorBoard in a `gs://` folder needs the package
    google-cloud-storage.
    """

    def __init__(self, workdir: epath.PathLike, *, after: int):
        """Opens the files; lines of steps after `after`, which will be taken again, are dropped.

        Args:
          workdir: folder of the run, local or remote.
          after: step at which the run resumes.
        """
        self._board = None
        if not is_main_process():
            return
        self._path = epath.Path(workdir) / "metrics.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._text = ""
        if self._path.exists():
            self._text = "".join(_lines_to(self._path.read_text(), after))
            atomic_write(self._path, self._text)
        # Remote files cannot be appended to: they are written again with each line.
        self._file = None if "://" in os.fspath(workdir) else self._path.open("a")
        self._board = SummaryWriter(str(epath.Path(workdir) / "tensorboard"), purge_step=after + 1)

    def write(self, step: int, metrics: Mapping[str, Any]) -> Mapping[str, Any]:
        """Writes the metrics of a step.

        Args:
          step: number of the step.
          metrics: numbers and arrays by name.

        Returns:
          The record as written: floats, and lists for arrays.
        """
        record = {"step": step, **{name: _to_json(value) for name, value in metrics.items()}}
        if self._board is None:
            return record
        line = json.dumps(record) + "\n"
        if self._file is None:
            self._text += line
            self._path.write_text(self._text)
        else:
            self._file.write(line)
            self._file.flush()
        for name, value in record.items():
            if isinstance(value, list):
                for i, number in enumerate(np.ravel(value)):
                    self._board.add_scalar(f"{name}/{i}", number, step)
            elif name != "step":
                self._board.add_scalar(name, value, step)
        self._board.flush()
        return record

    def picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """Writes a uint8 picture `[H, W, 3]` to TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, picture, step, dataformats="HWC")
            self._board.flush()

    def close(self) -> None:
        """Closes the files."""
        if self._board is not None:
            self._board.close()
            if self._file is not None:
                self._file.close()


def _lines_to(text: str, step: int) -> list[str]:
    """Returns the complete lines up to a step."""
    lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in lines if json.loads(line)["step"] <= step]


def _to_json(value: Any) -> Any:
    # A float64 holds every float32 exactly, and Python prints what reads back to it.
    return np.asarray(value, np.float64).tolist()
