"""Device meshes, and constraints in terms of what an axis means."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXES = ("data", "fsdp", "context")

# Mesh axis of each logical axis; those that are not listed are not split.
RULES = {"batch": "data", "frame": "context"}


def inference_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """All devices: the guidance pair on `data` where their number is even, frames on `context`.

    Args:
      devices: by default all there are.
    """
    devices = list(devices or jax.devices())
    pair = 2 if len(devices) % 2 == 0 else 1
    grid = np.array(devices).reshape(pair, 1, len(devices) // pair)
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def constrain(x: jax.Array, axes: Sequence[str | None]) -> jax.Array:
    """Asks the compiler to split an array along its logical axes.

    Does nothing unless a mesh of several devices is in use (`jax.set_mesh`).

    Args:
      x: any array.
      axes: a logical axis or None for each of its dimensions.

    Raises:
      ValueError: not one entry for each dimension.
    """
    if len(axes) != x.ndim:
        raise ValueError(f"{len(axes)} logical axes {tuple(axes)} for shape {x.shape}")
    if jax.sharding.get_abstract_mesh().size <= 1:
        return x
    spec = PartitionSpec(*(RULES.get(axis) if axis else None for axis in axes))
    return jax.lax.with_sharding_constraint(x, spec)
