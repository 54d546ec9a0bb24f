"""The two stages of the ablation: a prior that all rows share, then each row."""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from benchmarks.genve_ablation.data import Examples
from configs.train_genve_ablation import get_config
from venhancer_jax.diffusion.schedule import STEPS
from venhancer_jax.models.functional import Params
from venhancer_jax.training.diffusion import Diffusion
from venhancer_jax.training.genve.conditioning import Conditioning
from venhancer_jax.training.state import make_optimizer
from venhancer_jax.training.tasks import Task, task_of

# Changes of `config.reference` by row, in the order of the paper.
ROWS: dict[str, dict[str, Any]] = {
    "A": {"fusion": "none"},
    "B": {"fusion": "cross", "noise": False, "mask": 0.0, "temporal": False},
    "C": {"fusion": "local", "noise": False, "mask": 0.0, "temporal": False},
    "C1": {"fusion": "local", "noise": True, "mask": 0.0, "temporal": False},
    "C2": {"fusion": "local", "noise": True, "mask": 0.5, "temporal": False},
    "C3": {"fusion": "local", "noise": True, "mask": 0.5, "temporal": True},
}


class LateDiffusion(Diffusion):
    """The diffusion loss at time steps of which most are late, where only a reference knows x0."""

    def draw_times(self, key: jax.Array, count: int) -> jax.Array:
        return jax.random.randint(key, (2, count), 0, STEPS).max(0)


def row_config(row: str, **changes: Any) -> ConfigDict:
    """Returns the config of a row.

    Args:
      row: key of `ROWS`.
      **changes: further keys of the config.
    """
    config = get_config().unlock()
    config.reference.update(ROWS[row])
    config.update(changes)
    return config.lock()


@functools.cache
def row_task(row: str, **changes: Any) -> Task:
    """Returns the task of a row; arguments as for `row_config`."""
    return task_of(row_config(row, **changes))


def fit(
    row: str,
    start: Mapping[str, Params],
    examples: Examples,
    *,
    steps: int,
    seed: int,
    log: Callable[[str], None] = lambda line: None,
    **changes: Any,
) -> Params:
    """Trains on examples drawn at random.

    Args:
      row: key of `ROWS`.
      start: parameters that train, by the name `params`, and the frozen ones of the network, by the
        name `denoiser`.
      examples: examples of training.
      steps: number of steps.
      seed: seed of order and noise.
      log: called with a line on the loss now and then.
      **changes: keys of the config that differ from `row_config`.

    Returns:
      Parameters that train, after the last step.
    """
    task = row_task(row, **changes)
    frozen = dict(task.frozen) | {"denoiser": start["denoiser"]}
    config = row_config(row, **changes)
    optimizer, update = _optimizer(config.learning_rate, config.warmup_steps, steps)
    # Copies, which the step may overwrite.
    params = {name: jnp.array(x) for name, x in start["params"].items()}
    state, losses, since = optimizer.init(params), [], time.perf_counter()
    arrays = {name: jnp.asarray(getattr(examples, name)) for name in ("video", "low", "flow")}
    key, encode = jax.random.key(seed), _encode(row, **changes)
    # A prior has to know all times.
    gradients_of = _gradients(config.reference.fusion, late=config.trainable == "controlnet")
    for i in range(steps):
        of_step = jax.random.fold_in(key, i)
        example = encode(frozen, arrays, of_step)
        loss, gradients = gradients_of(params, frozen, example, of_step)
        params, state = update(params, state, gradients)
        losses.append(loss)
        if i % 50 == 49 or i == steps - 1:
            mean = np.mean([float(x) for x in losses[-50:]])
            seconds = (time.perf_counter() - since) / (i + 1)
            log(f"step {i + 1}: loss {mean:.4f}, {seconds:.2f} s a step")
    return params


@functools.cache
def _encode(row: str, **changes: Any) -> Any:
    """Returns the compiled function from all latents to the encoded examples of a step."""
    conditioning, config = conditioning_of(row_task(row, **changes)), row_config(row, **changes)
    low, high = config.augment.noise_levels

    @jax.jit
    def encode(frozen, arrays, key):
        draw, noise, own = jax.random.split(key, 3)
        index = jax.random.randint(draw, (config.batch,), 0, len(arrays["video"]))
        level = jax.random.randint(noise, (config.batch,), low, high + 1)
        batch = Examples(**arrays, frames=np.zeros(0), gain=np.zeros(0)).batch(index, level)
        return conditioning.example(frozen, batch, own)

    return encode


# Rows of one fusion differ in their examples only, and share the program that takes long to
# compile.
@functools.cache
def _gradients(fusion: str, *, late: bool) -> Any:
    """Returns the compiled loss and gradients of all rows with a kind of fusion.

    Args:
      fusion: `reference.fusion` of the rows.
      late: whether most time steps are late.
    """
    row = next(row for row, settings in ROWS.items() if settings["fusion"] == fusion)
    objective = (LateDiffusion if late else Diffusion)(conditioning_of(row_task(row)))

    @jax.jit
    def gradients(params, frozen, example, key):
        def loss_of(params: Params) -> jax.Array:
            return objective.loss_of(params, frozen, example, key)[0]

        return jax.value_and_grad(loss_of)(params)

    return gradients


@functools.cache
def _optimizer(
    learning_rate: float, warmup_steps: int, steps: int
) -> tuple[optax.GradientTransformation, Any]:
    """Returns the optimizer of a run and its compiled update."""
    optimizer = make_optimizer(
        learning_rate=learning_rate,
        warmup_steps=min(warmup_steps, steps // 2),
        weight_decay=0.0,
        decay_steps=steps,
    )

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def update(params, state, gradients):
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    return optimizer, update


def conditioning_of(task: Task) -> Conditioning:
    """Returns the networks of a task, and what happens to a reference."""
    assert isinstance(task.objective, Diffusion)
    assert isinstance(task.objective.conditioning, Conditioning)
    return task.objective.conditioning
