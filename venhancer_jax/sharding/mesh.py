"""Device meshes, and constraints in terms of what an axis means."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from venhancer_jax.errors import InputError

AXES = ("data", "fsdp", "context", "rows")

# Mesh axes of each logical axis; those that are not listed are not split. A token is a pixel of a
# frame in the layout of frames, a pixel one in the layout where devices see all frames of it. A
# piece is what the VAE works on by itself: a frame, or a chunk of frames.
RULES: dict[str, tuple[str, ...]] = {
    "batch": ("data", "fsdp"),
    "frame": ("context",),
    "row": ("rows",),
    "token": ("rows",),
    "pixel": ("rows", "context"),
    "piece": ("data", "fsdp", "context"),
}

# A window of 32 frames has two for each of as many devices.
_MOST_CONTEXT = 16


def device_mesh(sizes: Mapping[str, int], devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of all devices.

    Args:
      sizes: devices along each axis of `AXES`, 1 where not given; one of them may be -1 for the
        rest.
      devices: by default all there are, on all hosts.

    Raises:
      InputError: the sizes do not use all devices.
    """
    devices = list(devices or jax.devices())
    shape = [int(sizes.get(axis, 1)) for axis in AXES]
    if shape.count(-1) == 1:
        known = math.prod(size for size in shape if size != -1)
        shape[shape.index(-1)] = len(devices) // max(known, 1)
    if math.prod(shape) != len(devices) or min(shape) < 1:
        raise InputError(
            f"mesh {dict(sizes)} does not use all of the {len(devices)} devices: the sizes of"
            f" {', '.join(AXES)} have to multiply to it; one of them may be -1"
        )
    return Mesh(np.array(devices).reshape(shape), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def inference_mesh(
    devices: Sequence[Any] | None = None, sizes: Mapping[str, int] | None = None, *, videos: int = 2
) -> Mesh:
    """All devices: videos on `data`, frames on `context`.

    Args:
      devices: by default all there are.
      sizes: as of `device_mesh`; without `data`, or with 0, `data` is as large as `videos` allow
        and `context` takes the rest.
      videos: that the network is given at once at least: 2 for a guidance pair.

    Raises:
      InputError: the sizes do not use all devices.
    """
    sizes = dict(sizes or {})
    devices = list(devices or jax.devices())
    if not sizes.get("data"):
        taken = math.prod(max(1, sizes.get(axis, 1)) for axis in ("fsdp", "rows"))
        left = len(devices) // taken
        data = math.gcd(left, max(1, videos // max(1, sizes.get("fsdp", 1))))
        # Frames are few: what they do not need works on more windows of the video.
        while left // data > _MOST_CONTEXT and left % (2 * data) == 0:
            data *= 2
        sizes["data"] = data
    return device_mesh({"context": -1, **sizes}, devices)


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
    return jax.lax.with_sharding_constraint(x, partition_spec(axes)) if is_sharded() else x


def put_sharded(x: np.ndarray, axes: Sequence[str | None]) -> jax.Array | np.ndarray:
    """Gives each device of the mesh in use its part of what every process has."""
    if not is_sharded():
        return x
    sharding = NamedSharding(jax.sharding.get_mesh(), partition_spec(axes))
    return jax.make_array_from_callback(x.shape, sharding, x.__getitem__)


def partition_spec(axes: Sequence[str | None]) -> PartitionSpec:
    """Where the mesh in use puts logical axes."""
    names = jax.sharding.get_abstract_mesh().axis_names
    return PartitionSpec(
        *(tuple(n for n in RULES[a] if n in names) if a in RULES else None for a in axes)
    )


def num_shards(axis: str | None) -> int:
    """Devices that the mesh in use splits a logical axis over."""
    shape = jax.sharding.get_abstract_mesh().shape
    return (
        math.prod(shape.get(name, 1) for name in RULES.get(axis or "", ())) if is_sharded() else 1
    )


def is_sharded() -> bool:
    """Whether arrays span several devices here; not so inside of `sharding.local`."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.size > 1 and AxisType.Manual not in mesh.axis_types


def target_device() -> tuple[str, str]:
    """Platform and kind of the devices that the program is for: `("tpu", "TPU v5 lite")`."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    if device is not None and device.platform:
        return device.platform, device.device_kind
    first = jax.devices()[0]
    return first.platform, first.device_kind
