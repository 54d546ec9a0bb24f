"""What training changes: parameters, their average, the optimiser, the step."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from venhancer_jax.models.functional import Params

Trainable = Literal["controlnet", "all"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """State of a run, donated to every step.

    Attributes:
      step: steps done, `[]` int32.
      params: trainable parameters, float32.
      ema: their exponential moving average.
      optimizer: state of the optimiser.
    """

    step: jax.Array
    params: Params
    ema: Params
    optimizer: Any

    @classmethod
    def start(cls, params: Params, optimizer: optax.GradientTransformation) -> "TrainState":
        """The state before the first step."""
        copy = {name: jnp.array(x) for name, x in params.items()}
        return cls(jnp.zeros((), jnp.int32), params, copy, optimizer.init(params))


def split(params: Params, trainable: Trainable) -> tuple[Params, Params]:
    """Parameters of the controlled UNet that train, and those that are frozen."""
    if trainable == "all":
        return dict(params), {}
    trains = {n: x for n, x in params.items() if n.startswith("controlnet.")}
    return trains, {n: x for n, x in params.items() if n not in trains}


def copy_prior(params: Params) -> Params:
    """Gives the ControlNet the prior's encoder and middle block (paper, section 3.2).

    Its own layers keep their start at zero, so that the whole network answers as the prior does.
    """
    copied = dict(params)
    for name in params:
        if name.startswith("controlnet.encoder."):
            copied[name] = jnp.array(params[name.replace("controlnet.", "unet.", 1)])
    return copied


def make_optimizer(
    *,
    learning_rate: float,
    warmup_steps: int = 0,
    clip_norm: float = 1.0,
    weight_decay: float = 0.01,
    accumulate: int = 1,
    decay_steps: int | None = None,
) -> optax.GradientTransformation:
    """AdamW with linear warm-up, clipping by global norm, and gradient accumulation.

    Args:
      learning_rate: after the warm-up; the paper has 1e-5.
      warmup_steps: of updates, not of accumulated batches.
      clip_norm: of the gradient.
      weight_decay: decoupled.
      accumulate: batches for one update.
      decay_steps: updates, with the warm-up, after which the rate has fallen to zero along a
        cosine; None keeps it.
    """
    rate = learning_rate
    if decay_steps:
        rate = optax.warmup_cosine_decay_schedule(0.0, learning_rate, warmup_steps, decay_steps)
    elif warmup_steps:
        rate = optax.linear_schedule(0.0, learning_rate, warmup_steps)
    optimizer = optax.chain(
        optax.clip_by_global_norm(clip_norm), optax.adamw(rate, weight_decay=weight_decay)
    )
    if accumulate > 1:
        return optax.MultiSteps(optimizer, accumulate).gradient_transformation()
    return optimizer
