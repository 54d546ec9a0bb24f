"""The training loop: data in, steps on the mesh, metrics and checkpoints out.

The order matters: save if it is due, then take the next batch, then the step. A save after the
batch was taken would lose that batch on resumption.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.sharding import NamedSharding

from venhancer_jax.models.functional import Params
from venhancer_jax.sharding.processes import log_on_main
from venhancer_jax.training.checkpoints import Checkpoints
from venhancer_jax.training.data import DataIterator
from venhancer_jax.training.metrics import MetricsWriter, Throughput, Work, mean_metrics
from venhancer_jax.training.objective import Frozen, Metrics
from venhancer_jax.training.preemption import Preemption
from venhancer_jax.training.profiler import Profiler
from venhancer_jax.training.state import TrainState
from venhancer_jax.training.step import Step, make_global_batch

# Steps that may wait for the device: it is never idle, and few batches take its memory.
_AHEAD = 2

# `(parameters, step) -> metrics`
Validate = Callable[[Params, int], dict[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """Length of a run, and intervals of logging and validation.

    Attributes:
      start: number of steps already taken.
      steps: number of steps in all.
      log_every: number of steps whose mean metrics make one line; between lines nothing waits for
        the latest step.
      validate_every: number of steps between validations; 0 for none.
      max_skipped: number of steps in a row without finite numbers, after which the run stops.
    """

    start: int = 0
    steps: int
    log_every: int = 50
    validate_every: int = 0
    max_skipped: int = 10


def run(
    step: Step,
    state: TrainState,
    frozen: Frozen,
    data: DataIterator,
    *,
    batches: NamedSharding,
    checkpoints: Checkpoints,
    writer: MetricsWriter,
    profiler: Profiler,
    validate: Validate | None = None,
    work: Work,
    options: LoopOptions,
) -> TrainState:
    """Trains to the last step. SIGTERM saves and ends the loop early.

    Args:
      step: compiled step, to which the state is donated.
      state: state after `options.start` steps.
      frozen: parameters that do not train.
      data: batches of this process, at the position of the state.
      batches: sharding of a batch.
      checkpoints: checkpoints of the run.
      writer: destination of metrics.
      profiler: profiler of some steps.
      validate: function that measures the averaged parameters; None for no validation.
      work: operations of a step, for the rates among the metrics.
      options: length and intervals.

    Returns:
      State after the last step, or where a signal stopped the run.

    Raises:
      FloatingPointError: too many steps in a row had no finite loss, gradient or update.
    """
    throughput, since_log = Throughput(work), []
    running: collections.deque[tuple[int, Metrics]] = collections.deque()
    with Preemption() as preemption:
        for number in range(options.start, options.steps):
            stop = preemption.reached(number)
            checkpoints.save(state, number, _position(data), force=stop)
            if stop:
                log_on_main(f"stopped by a signal, saved at step {number}")
                return state
            done = number + 1
            profiler.before(done, state)
            batch = make_global_batch(throughput.next(data), batches)
            with jax.profiler.StepTraceAnnotation("train", step_num=done):
                state, metrics = step(state, frozen, batch)
            profiler.after(done, state)
            since_log.append(metrics)
            running.append((done, metrics))
            if len(running) > _AHEAD:
                _check_finite(*running.popleft(), options)
            validates = validate is not None and _due(done, options.validate_every, options)
            if _due(done, options.log_every, options) or validates:
                # The clock stops when the last step is done.
                values = mean_metrics(since_log) | throughput.read()
                if validate is not None and validates:
                    values |= validate(state.ema, done)
                    throughput.restart()
                since_log = []
                _log(writer.write(done, values), options.steps)
        for number, metrics in running:
            _check_finite(number, metrics, options)
        checkpoints.save(state, options.steps, _position(data), force=True)
    return state


def _check_finite(step: int, metrics: Metrics, options: LoopOptions) -> None:
    """Waits for a step; raises FloatingPointError if too many in a row were skipped."""
    if (skipped := int(metrics["skipped"])) >= options.max_skipped:
        raise FloatingPointError(
            f"the last {skipped} steps up to step {step} had a loss, gradient or update that is not"
            " finite. Checkpoints are from before. Try a lower learning_rate, a longer"
            " warmup_steps, or dtype=float32"
        )


def _due(done: int, every: int, options: LoopOptions) -> bool:
    return every > 0 and (done % every == 0 or done == options.steps)


def _position(data: DataIterator) -> dict[str, Any]:
    return {"iterator": data.get_state()}


def _log(record: Mapping[str, Any], steps: int) -> None:
    validation = f" validation {v:.4f}" if (v := record.get("validation_loss")) is not None else ""
    skipped = f" skipped {n:.0f}" if (n := record["skipped_steps"]) else ""
    log_on_main(
        f"step {record['step']:.0f}/{steps} loss {record['loss']:.4f}"
        f" gradient {record['gradient_norm']:.3f} {record['step_seconds']:.2f} s/step"
        f" data wait {record['data_wait_share']:.0%}{skipped}{validation}"
    )
