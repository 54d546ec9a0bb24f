"""From the examples of each process to one batch on the mesh."""

from collections.abc import Mapping

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import Params
from venhancer_jax.sharding.params import BATCH, all_gathered
from venhancer_jax.training.objective import Batch, Frozen, Metrics, Objective


def check_batch(batch: int, mesh: Mesh) -> None:
    """Checks that a batch of all processes can be split over a mesh.

    Raises:
      InputError: it cannot.
    """
    parts = mesh.shape["data"] * mesh.shape["fsdp"]
    if batch % parts:
        raise InputError(
            f"batch {batch}: expected a multiple of {parts}, the devices along data and fsdp"
        )
    if parts % jax.process_count():
        raise InputError(
            f"mesh: data times fsdp is {parts}, expected a multiple of the"
            f" {jax.process_count()} processes"
        )


def make_global_batch(
    batch: Mapping[str, np.ndarray], sharding: NamedSharding
) -> dict[str, jax.Array]:
    """The batch of all processes, of which each gives its own examples `[b, ...]`."""
    return {name: jax.make_array_from_process_local_data(sharding, x) for name, x in batch.items()}


class ShardedObjective:
    """An objective over a mesh: whole parameters, and examples in the order of the stream."""

    def __init__(self, objective: Objective):
        self._objective = objective

    def loss(
        self, params: Params, frozen: Frozen, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """As of the objective."""
        batch = {name: _in_stream_order(x) for name, x in batch.items()}
        return self._objective.loss(all_gathered(params), all_gathered(frozen), batch, key)


def _in_stream_order(x: jax.Array) -> jax.Array:
    """Undoes that process p of n has the examples p, p + n, p + 2n and so on.

    Noise belongs to a place in the batch; so a run is the same on any number of processes.
    """
    count = jax.process_count()
    if count == 1:
        return x
    dealt = x.reshape(count, x.shape[0] // count, *x.shape[1:])
    return jax.lax.with_sharding_constraint(dealt.swapaxes(0, 1).reshape(x.shape), BATCH)
