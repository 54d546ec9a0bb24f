"""What training changes: parameters, their average, the optimizer, counters."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from venhancer_jax.models.functional import Params
from venhancer_jax.training.objective import Group

_MAIN = "main"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """State of a run, donated to every step.

    Attributes:
      step: number of steps taken, `[]` int32.
      updates: number of updates of the parameters, `[]` int32.
      skipped: number of steps in a row, up to the last one, that were skipped, `[]` int32.
      params: parameters that train, float32.
      ema: exponential moving average of the parameters.
      optimizer: state of the optimizer.
    """

    step: jax.Array
    updates: jax.Array
    skipped: jax.Array
    params: Params
    ema: Params
    optimizer: Any

    @classmethod
    def start(cls, params: Params, optimizer: optax.GradientTransformation) -> "TrainState":
        """Creates the state before the first step.

        Args:
          params: parameters that train.
          optimizer: optimizer of the run.
        """
        copy = {name: jnp.array(x) for name, x in params.items()}
        zero = jnp.zeros((), jnp.int32)
        return cls(zero, zero, zero, params, copy, optimizer.init(params))


def optimizer_of(config: ConfigDict, groups: Sequence[Group] = ()) -> optax.GradientTransformation:
    """Creates the optimizer of a config.

    Args:
      config: config of `training_config`.
      groups: parameters with an optimizer of their own, whose gradients are clipped by themselves.
    """

    def one(learning_rate: float) -> optax.GradientTransformation:
        return make_optimizer(
            learning_rate=learning_rate,
            warmup_steps=config.warmup_steps,
            clip_norm=config.clip_norm,
            weight_decay=config.weight_decay,
            decay_steps=config.steps // config.accumulate if config.cosine_decay else None,
        )

    rates = {_MAIN: config.learning_rate} | {g.prefix: g.learning_rate for g in groups}

    def labels(params: Params) -> dict[str, str]:
        prefixes = dict.fromkeys(params, _MAIN)
        for group in groups:
            prefixes |= dict.fromkeys(group.select(params), group.prefix)
        return prefixes

    if not groups:
        return accumulated(one(config.learning_rate), config.accumulate)
    parts = {label: one(rate) for label, rate in rates.items()}
    return accumulated(optax.partition(parts, labels), config.accumulate)


def make_optimizer(
    *,
    learning_rate: float,
    warmup_steps: int = 0,
    clip_norm: float = 1.0,
    weight_decay: float = 0.01,
    decay_steps: int | None = None,
) -> optax.GradientTransformation:
    """Creates AdamW with linear warm-up and clipping by global norm.

    Args:
      learning_rate: rate after the warm-up; 1e-5 in the paper.
      warmup_steps: number of updates of the warm-up.
      clip_norm: largest global norm of a gradient.
      weight_decay: decoupled weight decay.
      decay_steps: number of updates, with the warm-up, after which the rate has fallen to zero
        along a cosine; None keeps the rate. A run that ends within its warm-up only rises.
    """
    rate = learning_rate
    if decay_steps and decay_steps > warmup_steps:
        rate = optax.warmup_cosine_decay_schedule(0.0, learning_rate, warmup_steps, decay_steps)
    elif warmup_steps:
        rate = optax.linear_schedule(0.0, learning_rate, warmup_steps)
    return optax.chain(
        optax.clip_by_global_norm(clip_norm), optax.adamw(rate, weight_decay=weight_decay)
    )


def accumulated(
    optimizer: optax.GradientTransformation, steps: int
) -> optax.GradientTransformation:
    """Accumulates the gradients of several steps, whose mean makes one update."""
    if steps > 1:
        return optax.MultiSteps(optimizer, steps).gradient_transformation()
    return optimizer


def update_ema(ema: Params, params: Params, updates: jax.Array, decay: float) -> Params:
    """Moves the average towards the parameters of update number `updates`.

    Equals an average that starts at zero, divided by `1 - decay ** updates` (Kingma and Ba 2015,
    section 3): the first update replaces the start, which would otherwise stay in the average for
    several times `1 / (1 - decay)` updates.

    Args:
      ema: average after the update before.
      params: parameters after the update.
      updates: number of the update, from 1, `[]`.
      decay: decay of the average, 0 up to 1.
    """
    # 1 - decay ** updates, without the cancellation of float32.
    past = -jnp.expm1(updates * jnp.log(jnp.float32(decay))) if decay else 1.0
    weight = (1 - decay) / past
    return {name: x + weight * (params[name] - x) for name, x in ema.items()}
