"""The training loop: data in, steps on the mesh, metrics and checkpoints out.

The order within a turn matters: save if it is due, then take the next batch, then step. Saving
after the batch was taken would lose it on resumption.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from venhancer_jax.models.functional import Params
from venhancer_jax.sharding.processes import log_on_main
from venhancer_jax.training.batches import make_global_batch
from venhancer_jax.training.checkpoints import Checkpoints
from venhancer_jax.training.data import DataIterator
from venhancer_jax.training.meter import Meter, Work
from venhancer_jax.training.objective import Frozen
from venhancer_jax.training.preemption import Preemption
from venhancer_jax.training.profiler import Profiler
from venhancer_jax.training.state import TrainState
from venhancer_jax.training.step import Step

# Steps that may wait for the device. It never idles for want of work, and the batches of no more
# steps than these take its memory.
_AHEAD = 2

# `(parameters, step) -> metrics`
Validate = Callable[[Params, int], dict[str, Any]]
# `(step, metrics) -> record`
Write = Callable[[int, dict[str, Any]], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """How long, and how often what happens.

    Attributes:
      start: steps that are done already.
      steps: in all.
      log_every: steps from one line of metrics to the next; between them nothing waits for the
        latest step.
      validate_every: steps from one validation to the next.
    """

    start: int = 0
    steps: int
    log_every: int = 50
    validate_every: int = 0


def run(
    step: Step,
    state: TrainState,
    frozen: Frozen,
    data: DataIterator,
    *,
    batches: NamedSharding,
    checkpoints: Checkpoints,
    write: Write,
    profiler: Profiler,
    validate: Validate | None = None,
    work: Work,
    options: LoopOptions,
) -> TrainState:
    """Trains to the last step. SIGTERM saves and ends the loop early.

    Args:
      step: compiled; the state is donated to it.
      state: after `options.start` steps.
      frozen: what does not train.
      data: batches of this process, at the position of the state.
      batches: how batches lie on the mesh.
      checkpoints: where to.
      write: takes metrics.
      profiler: told of every step.
      validate: measures the averaged parameters; None for no validation.
      work: for the rates among the metrics.
      options: how long, and how often.

    Raises:
      FloatingPointError: the loss is no number any more.
    """
    meter, waiting = Meter(work), collections.deque()
    with Preemption() as preemption:
        for number in range(options.start, options.steps):
            stop = preemption.reached(number)
            checkpoints.save(state, number, _position(data), force=stop)
            if stop:
                log_on_main(f"stopped by a signal, saved at step {number}")
                return state
            done = number + 1
            profiler.before(done, state)
            batch = make_global_batch(meter.next(data), batches)
            with jax.profiler.StepTraceAnnotation("train", step_num=done):
                state, metrics = step(state, frozen, batch)
            profiler.after(done, state)
            waiting.append(metrics["loss"])
            if len(waiting) > _AHEAD:
                waiting.popleft().block_until_ready()
            validates = validate is not None and _due(done, options.validate_every, options)
            if _due(done, options.log_every, options) or validates:
                values = meter.read(metrics)
                if validate is not None and validates:
                    values |= validate(state.ema, done)
                    meter.restart()
                record = write(done, values)
                _tell(record, options.steps)
                if not np.isfinite(record["loss"]):
                    raise FloatingPointError(f"the loss of step {done} is {record['loss']}")
        checkpoints.save(state, options.steps, _position(data), force=True)
    return state


def _due(done: int, every: int, options: LoopOptions) -> bool:
    return every > 0 and (done % every == 0 or done == options.steps)


def _position(data: DataIterator) -> dict[str, Any]:
    return {"iterator": data.get_state()}


def _tell(record: Mapping[str, Any], steps: int) -> None:
    validation = f" validation {v:.4f}" if (v := record.get("validation_loss")) is not None else ""
    log_on_main(
        f"step {record['step']}/{steps} loss {record['loss']:.4f}"
        f" gradient {record['gradient_norm']:.3f} {record['step_seconds']:.2f} s/step"
        f" data wait {record['data_wait_share']:.0%}{validation}"
    )
