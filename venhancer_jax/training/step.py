"""One training step: pure, and compiled for a mesh."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AbstractDevice, AbstractMesh, Mesh, NamedSharding
from ml_collections import ConfigDict

from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import Params
from venhancer_jax.sharding.flops import count_flops
from venhancer_jax.sharding.mesh import AXES, replicated
from venhancer_jax.sharding.params import BATCH, all_gathered, batch_sharding, fsdp_sharding
from venhancer_jax.training.objective import Batch, Frozen, Group, Metrics, Objective
from venhancer_jax.training.state import TrainState, update_ema

Step = Callable[[TrainState, Frozen, Batch], tuple[TrainState, Metrics]]


def make_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    *,
    seed: int,
    ema_decay: float = 0.9999,
    groups: Sequence[Group] = (),
) -> Step:
    """Creates a step for `jax.jit(..., donate_argnums=0)`.

    A step whose loss, gradient or update is not finite changes nothing but the counters
    (`optax.apply_if_finite` checks gradients only, and accepts them after n in a row).

    Args:
      objective: loss to descend.
      optimizer: optimizer of `make_optimizer`.
      seed: seed of all randomness; each step's key depends on seed and step only, so that a
        resumed run equals one without an interruption.
      ema_decay: decay of the average of the parameters, per update.
      groups: parameters with an optimizer of their own, some of which are refreshed.

    Returns:
      Function `(state, frozen, batch) -> (state, metrics)`; the metrics are device arrays.
    """

    def step(state: TrainState, frozen: Frozen, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        before = state.params
        for group in groups:
            if group.refresh is not None:
                before = before | group.refresh(group.select(before))

        def loss_of(params: Params) -> tuple[jax.Array, Metrics]:
            return objective.loss(params, frozen, batch, key)

        (loss, metrics), gradients = jax.value_and_grad(loss_of, has_aux=True)(before)
        updates, optimizer_state = optimizer.update(gradients, state.optimizer, before)
        params = cast(Params, optax.apply_updates(before, updates))
        # Steps that only accumulate gradients are no updates.
        updated = jnp.asarray(
            optimizer_state.mini_step == 0
            if isinstance(optimizer_state, optax.MultiStepsState)
            else True
        )
        count = state.updates + updated
        ema = update_ema(state.ema, params, jnp.maximum(count, 1), ema_decay)
        ema = _select(updated, ema, state.ema)
        norms = {
            "gradient_norm": optax.global_norm(gradients),
            "update_norm": optax.global_norm(updates),
        }
        finite = jnp.isfinite(jnp.stack([loss, *norms.values()])).all()
        number, none = state.step + 1, jnp.zeros((), jnp.int32)
        after = TrainState(number, count, none, params, ema, optimizer_state)
        unchanged = TrainState(
            number, state.updates, state.skipped + 1, state.params, state.ema, state.optimizer
        )
        state = _select(finite, after, unchanged)
        metrics |= {"loss": loss, **norms, "parameter_norm": optax.global_norm(state.params)}
        metrics |= {"finite": finite, "updated": finite & updated, "skipped": state.skipped}
        return state, metrics

    return step


def compile_step(
    config: ConfigDict,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    state: TrainState,
    groups: Sequence[Group] = (),
) -> Any:
    """Creates the step under `jax.jit`, to be called or lowered where the mesh is in use.

    Args:
      config: config of `training_config`.
      objective: loss to descend.
      optimizer: optimizer of the run.
      mesh: devices of the run.
      state: state before the step, arrays or shapes with shardings; the next state keeps these.
      groups: parameters with an optimizer of their own.
    """
    step = make_step(
        ShardedObjective(objective),
        optimizer,
        seed=config.seed,
        ema_decay=config.ema_decay,
        groups=groups,
    )
    shardings = jax.tree.map(lambda x: x.sharding, state)
    return jax.jit(step, donate_argnums=0, out_shardings=(shardings, replicated(mesh)))


def state_shapes(
    params: Mapping[str, Any], optimizer: optax.GradientTransformation, mesh: Mesh
) -> TrainState:
    """Computes shape, type and sharding of each array of the state.

    Args:
      params: parameters that train, arrays or shapes.
      optimizer: optimizer of the run.
      mesh: devices of the run; large arrays are split over `fsdp`.
    """
    shapes = jax.eval_shape(functools.partial(TrainState.start, optimizer=optimizer), params)
    return jax.tree.map(
        lambda shape, s: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=s),
        shapes,
        fsdp_sharding(mesh, shapes),
    )


def place_batch_shapes(
    shapes: Mapping[str, jax.ShapeDtypeStruct], mesh: Mesh
) -> dict[str, jax.ShapeDtypeStruct]:
    """Adds the shardings of `make_global_batch` to the shapes of a batch."""
    sharding = batch_sharding(mesh)
    return {n: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding) for n, x in shapes.items()}


def make_global_batch(
    batch: Mapping[str, np.ndarray], sharding: NamedSharding
) -> dict[str, jax.Array]:
    """Assembles the batch of all processes from the examples `[b, ...]` of each process."""
    return {name: jax.make_array_from_process_local_data(sharding, x) for name, x in batch.items()}


def check_batch(batch: int, mesh: Mesh) -> None:
    """Checks that a batch of all processes can be split over a mesh.

    Raises:
      InputError: the batch cannot be split.
    """
    shards = mesh.shape["data"] * mesh.shape["fsdp"]
    if batch % shards:
        raise InputError(
            f"batch {batch}: expected a multiple of {shards}, the devices along data and fsdp"
        )
    if shards % jax.process_count():
        raise InputError(
            f"mesh: data times fsdp is {shards}, expected a multiple of the"
            f" {jax.process_count()} processes"
        )


def model_flops(
    objective: Objective,
    params: Params,
    frozen: Frozen,
    batch: Mapping[str, jax.ShapeDtypeStruct],
) -> int:
    """Counts the operations of a step's forward and backward pass, without recomputation.

    A backward pass transposes the tangents of the forward pass product by product, so the
    operations are those of loss and tangents together, in which nothing is computed again.

    Args:
      objective: loss to descend.
      params: parameters that train, arrays or shapes.
      frozen: all other parameters, arrays or shapes.
      batch: shapes of a batch of all processes.
    """

    def tangents(params: Params, frozen: Frozen, batch: Batch) -> Any:
        key = jax.random.key(0)
        ones = jax.tree.map(jnp.ones_like, params)
        return jax.jvp(lambda p: objective.loss(p, frozen, batch, key)[0], (params,), (ones,))

    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), (params, dict(frozen), dict(batch))
    )
    # For one CPU no kernels are chosen, of which some have no tangents.
    cpu = AbstractDevice("cpu", None, "cpu")
    with jax.sharding.use_abstract_mesh(AbstractMesh((1,) * len(AXES), AXES, abstract_device=cpu)):
        return count_flops(tangents, *shapes)


class ShardedObjective:
    """An objective over a mesh: whole parameters, and examples in the order of the stream."""

    def __init__(self, objective: Objective):
        """Wraps an objective of whole arrays."""
        self._objective = objective

    def loss(
        self, params: Params, frozen: Frozen, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Computes the loss `[]` and metrics; arguments as `Objective.loss` documents."""
        batch = {name: _in_stream_order(x) for name, x in batch.items()}
        return self._objective.loss(all_gathered(params), all_gathered(frozen), batch, key)


def _select(condition: jax.Array, true: Any, false: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), true, false)


def _in_stream_order(x: jax.Array) -> jax.Array:
    """Restores the order of the stream, of which process p of n holds examples p, p + n, ...

    Noise depends on the position in the batch; so a run is the same on any number of processes.
    """
    count = jax.process_count()
    if count == 1:
        return x
    dealt = x.reshape(count, x.shape[0] // count, *x.shape[1:])
    return jax.lax.with_sharding_constraint(dealt.swapaxes(0, 1).reshape(x.shape), BATCH)
