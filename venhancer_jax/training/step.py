"""One training step as a pure function."""

from collections.abc import Callable
from typing import cast

import jax
import optax

from venhancer_jax.models.functional import Params
from venhancer_jax.training.objective import Batch, Frozen, Metrics, Objective
from venhancer_jax.training.state import TrainState

Step = Callable[[TrainState, Frozen, Batch], tuple[TrainState, Metrics]]


def make_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    *,
    seed: int,
    ema_decay: float = 0.9999,
) -> Step:
    """A step for `jax.jit(..., donate_argnums=0)`.

    Args:
      objective: the loss.
      optimizer: of `make_optimizer`.
      seed: of all randomness; a step's is a function of it and of the step, so that a run that is
        resumed goes on as if it had not been interrupted.
      ema_decay: of the average of parameters.

    Returns:
      `(state, frozen, batch) -> (state, metrics)`, the metrics as device arrays.
    """

    def step(state: TrainState, frozen: Frozen, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)

        def loss_of(params: Params) -> tuple[jax.Array, Metrics]:
            return objective.loss(params, frozen, batch, key)

        (loss, metrics), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
        params = cast(Params, optax.apply_updates(state.params, updates))
        ema = cast(Params, optax.incremental_update(params, state.ema, 1 - ema_decay))
        metrics |= {
            "loss": loss,
            "gradient_norm": optax.global_norm(gradients),
            "parameter_norm": optax.global_norm(params),
            "update_norm": optax.global_norm(updates),
        }
        return TrainState(state.step + 1, params, ema, optimizer_state), metrics

    return step
