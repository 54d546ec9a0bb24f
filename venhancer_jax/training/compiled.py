"""The step of a run as it is compiled: its optimiser, and how state and batches lie on the mesh."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from venhancer_jax.sharding.mesh import replicated
from venhancer_jax.sharding.params import batch_sharding, fsdp_sharding
from venhancer_jax.training.batches import ShardedObjective
from venhancer_jax.training.objective import Objective
from venhancer_jax.training.state import TrainState, make_optimizer
from venhancer_jax.training.step import make_step


def optimizer_of(config: ConfigDict) -> optax.GradientTransformation:
    """The optimiser that a training config asks for."""
    return make_optimizer(
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        clip_norm=config.clip_norm,
        weight_decay=config.weight_decay,
        accumulate=config.accumulate,
        decay_steps=config.steps // config.accumulate if config.cosine_decay else None,
    )


def state_shapes(
    params: Mapping[str, Any], optimizer: optax.GradientTransformation, mesh: Mesh
) -> TrainState:
    """The state with a `jax.ShapeDtypeStruct` for each array, and where it lies.

    Args:
      params: that train, arrays or their shapes.
      optimizer: of the run.
      mesh: of the run.
    """
    begin = functools.partial(TrainState.start, optimizer=optimizer)
    shapes = jax.eval_shape(begin, params)
    return jax.tree.map(
        lambda shape, s: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=s),
        shapes,
        fsdp_sharding(mesh, shapes),
    )


def jitted_step(
    config: ConfigDict,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    state: TrainState,
) -> Any:
    """The step under `jax.jit`, to be called or lowered where the mesh is set.

    Args:
      config: of `training_config`.
      objective: the loss.
      optimizer: of the run.
      mesh: of the run.
      state: arrays or shapes, with shardings, that the state keeps.
    """
    pure = make_step(
        ShardedObjective(objective), optimizer, seed=config.seed, ema_decay=config.ema_decay
    )
    shardings = jax.tree.map(lambda x: x.sharding, state)
    return jax.jit(pure, donate_argnums=0, out_shardings=(shardings, replicated(mesh)))


def on_mesh(
    shapes: Mapping[str, jax.ShapeDtypeStruct], mesh: Mesh
) -> dict[str, jax.ShapeDtypeStruct]:
    """What the loop will give, so that the step is traced once for its cost and for its use."""
    sharding = batch_sharding(mesh)
    return {n: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding) for n, x in shapes.items()}
