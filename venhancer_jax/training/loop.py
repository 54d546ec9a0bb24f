"""The training loop: data in, steps on the mesh, metrics and checkpoints out.

The order within a turn matters: save if it is due, then take the next batch, then step. Saving
after the batch was taken would lose it on resumption.
"""

import dataclasses
import signal
import time
from types import FrameType
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh

from venhancer_jax.sharding.params import batch_sharding
from venhancer_jax.training.checkpoints import Checkpoints
from venhancer_jax.training.log import MetricsLog
from venhancer_jax.training.objective import Frozen
from venhancer_jax.training.state import TrainState
from venhancer_jax.training.step import Step


class DataIterator(Protocol):
    """Batches whose position can be saved."""

    def __next__(self) -> dict[str, np.ndarray]: ...

    def get_state(self) -> Any: ...

    def set_state(self, state: Any) -> None: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """How long, and how often what happens.

    Attributes:
      steps: in all.
      log_every: steps from one line of metrics to the next; between them nothing waits for the
        device.
      flops: of one step on all devices, for the share of the peak that is used.
      peak_flops: of one device, 0 if unknown.
    """

    steps: int
    log_every: int = 50
    flops: int = 0
    peak_flops: float = 0.0


def run(
    step: Step,
    state: TrainState,
    frozen: Frozen,
    data: DataIterator,
    *,
    mesh: Mesh,
    checkpoints: Checkpoints,
    log: MetricsLog,
    options: LoopOptions,
) -> TrainState:
    """Trains to the last step, from the latest checkpoint if there is one.

    SIGTERM saves and ends the loop early.

    Raises:
      FloatingPointError: the loss is no number any more.
    """
    start = 0
    if (found := checkpoints.restore(state)) is not None:
        state, start, position = found
        data.set_state(position["iterator"])
        print(f"resumed at step {start}", flush=True)
    meter = _Meter(options)
    with _Interrupt() as interrupt:
        for number in range(start, options.steps):
            checkpoints.save(state, number, _position(data), force=interrupt.asked)
            if interrupt.asked:
                print(f"stopped by a signal, saved at step {number}", flush=True)
                return state
            batch = meter.wait(data)
            on_mesh = jax.device_put(batch, batch_sharding(mesh))
            state, metrics = step(state, frozen, on_mesh)
            if (number + 1) % options.log_every == 0 or number + 1 == options.steps:
                record = log.write(number + 1, meter.read(metrics, number + 1 - start, batch))
                _tell(record, options.steps)
                if not np.isfinite(record["loss"]):
                    raise FloatingPointError(f"the loss of step {number + 1} is {record['loss']}")
        checkpoints.save(state, options.steps, _position(data), force=True)
    return state


class _Meter:
    """Times since the last line of metrics."""

    def __init__(self, options: LoopOptions):
        self._options = options
        self._since, self._waited, self._steps = time.perf_counter(), 0.0, 0

    def wait(self, data: DataIterator) -> dict[str, np.ndarray]:
        """The next batch, and how long it took."""
        start = time.perf_counter()
        batch = next(data)
        self._waited += time.perf_counter() - start
        return batch

    def read(self, metrics: dict[str, Any], done: int, batch: dict) -> dict[str, Any]:
        """Metrics from the device, which this waits for, and rates since the last time."""
        values = {name: np.asarray(value) for name, value in jax.device_get(metrics).items()}
        now, steps = time.perf_counter(), done - self._steps
        seconds = (now - self._since) / steps
        values["step_seconds"] = np.asarray(seconds)
        values["data_wait_share"] = np.asarray(self._waited / (now - self._since))
        values["clips_per_second"] = np.asarray(len(batch["video"]) * jax.process_count() / seconds)
        per_device = self._options.flops / seconds / jax.device_count()
        values["tflops_per_device"] = np.asarray(per_device / 1e12)
        if self._options.peak_flops:
            values["mfu"] = np.asarray(per_device / self._options.peak_flops)
        self._since, self._waited, self._steps = now, 0.0, done
        return values


class _Interrupt:
    """Notes SIGTERM, which machines that are about to be taken away send."""

    asked = False

    def __enter__(self) -> "_Interrupt":
        self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.asked = True


def _position(data: DataIterator) -> dict[str, Any]:
    return {"iterator": data.get_state()}


def _tell(record: dict[str, Any], steps: int) -> None:
    print(
        f"step {record['step']}/{steps} loss {record['loss']:.4f}"
        f" gradient {record['gradient_norm']:.3f} {record['step_seconds']:.2f} s/step"
        f" data wait {record['data_wait_share']:.0%}",
        flush=True,
    )
