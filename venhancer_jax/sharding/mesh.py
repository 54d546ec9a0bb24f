"""Device meshes, sharding constraints by logical axes, and what a target device can do."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from venhancer_jax.errors import InputError

AXES = ("data", "fsdp", "context", "rows")

# Mesh axes of each logical axis; logical axes that are not listed are replicated. A token is a
# pixel of a frame while frames are sharded, a pixel one while each device has all frames of it. A
# piece is what the VAE works on independently: a frame, or a chunk of frames.
RULES: dict[str, tuple[str, ...]] = {
    "batch": ("data", "fsdp"),
    "frame": ("context",),
    "row": ("rows",),
    "token": ("rows",),
    "pixel": ("rows", "context"),
    "piece": ("data", "fsdp", "context"),
}
# Logical axes of videos and their features [B, F, H, W, C].
VIDEO_AXES = ("batch", "frame", "row", None, None)

# Least number of frames of a window on each device.
_LEAST_FRAMES = 2
# Intermediate results of this size stay in the caches of a processor core.
_CACHE_BYTES = 12 * 2**20


def device_mesh(sizes: Mapping[str, int], devices: Sequence[Any] | None = None) -> Mesh:
    """Creates a mesh of all devices, neighbours in the mesh near each other in their network.

    Slices of TPUs, which only a data-center network connects, are neighbours on the first axes that
    they divide, `data` before `fsdp`.

    Args:
      sizes: number of devices along each axis of `AXES`, 1 by default; one of them may be -1 for
        all remaining devices.
      devices: devices of the mesh; by default those of all processes.

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
            f" {', '.join(AXES)} must multiply to it; one of them may be -1"
        )
    return Mesh(_arrange(devices, shape), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def inference_mesh(
    devices: Sequence[Any] | None = None,
    sizes: Mapping[str, int] | None = None,
    *,
    videos: int = 2,
    window: int = 32,
) -> Mesh:
    """Creates a mesh of all devices: videos on `data`, frames on `context`.

    Args:
      devices: devices of the mesh; by default those of all processes.
      sizes: number of devices along some axes of `AXES`; without `data`, or with 0, `data` is as
        large as `videos` allow and `context` takes the rest.
      videos: least number of videos in a network call: 2 for a guidance pair.
      window: frames of a window.

    Raises:
      InputError: the sizes do not use all devices.
    """
    sizes = dict(sizes or {})
    devices = list(devices or jax.devices())
    if not sizes.get("data"):
        used = math.prod(max(1, sizes.get(axis, 1)) for axis in ("fsdp", "rows"))
        free = len(devices) // used
        data = math.gcd(free, max(1, videos // max(1, sizes.get("fsdp", 1))))
        # Devices that a window has no frames for work on more windows of the video.
        while free // data > max(1, window // _LEAST_FRAMES) and free % (2 * data) == 0:
            data *= 2
        sizes["data"] = data
    return device_mesh({"context": -1, **sizes}, devices)


def _arrange(devices: list[Any], shape: list[int]) -> np.ndarray:
    """Arranges devices in an array of a shape by their position in the network."""
    if not hasattr(devices[0], "coords"):  # no torus: the switches of GPUs make all neighbours
        return np.array(devices).reshape(shape)
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    if slices == 1:
        return mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    between = []
    for size in shape:
        between.append(math.gcd(slices, size))
        slices //= between[-1]
    within = [size // n for size, n in zip(shape, between, strict=True)]
    return mesh_utils.create_hybrid_device_mesh(
        within, between, devices, allow_split_physical_axes=True
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array that every device has whole."""
    return NamedSharding(mesh, PartitionSpec())


def constrain(x: jax.Array, axes: Sequence[str | None]) -> jax.Array:
    """Constrains the sharding of an array by its logical axes.

    Does nothing unless a mesh of several devices is in use (`jax.set_mesh`).

    Args:
      x: array of any shape.
      axes: logical axis or None for each dimension of `x`.

    Raises:
      ValueError: `axes` has not one entry for each dimension.
    """
    if len(axes) != x.ndim:
        raise ValueError(f"{len(axes)} logical axes {tuple(axes)} for shape {x.shape}")
    return jax.lax.with_sharding_constraint(x, partition_spec(axes)) if is_sharded() else x


def put_sharded(x: np.ndarray, axes: Sequence[str | None]) -> jax.Array | np.ndarray:
    """Shards an array that every process has over the mesh in use.

    Args:
      x: array, equal on all processes.
      axes: logical axis or None for each dimension of `x`.

    Returns:
      The sharded array; `x` itself without a mesh of several devices.
    """
    if not is_sharded():
        return x
    sharding = NamedSharding(jax.sharding.get_mesh(), partition_spec(axes))
    return jax.make_array_from_callback(x.shape, sharding, x.__getitem__)


def partition_spec(axes: Sequence[str | None]) -> PartitionSpec:
    """Maps logical axes to a `PartitionSpec` of the mesh in use."""
    names = jax.sharding.get_abstract_mesh().axis_names
    return PartitionSpec(
        *(tuple(n for n in RULES[a] if n in names) if a in RULES else None for a in axes)
    )


def num_shards(axis: str | None) -> int:
    """Returns the number of devices over which the mesh in use shards a logical axis."""
    shape = jax.sharding.get_abstract_mesh().shape
    return (
        math.prod(shape.get(name, 1) for name in RULES.get(axis or "", ())) if is_sharded() else 1
    )


def is_sharded() -> bool:
    """Returns whether arrays span several devices, which they do not inside `shard_map_over`."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.size > 1 and AxisType.Manual not in mesh.axis_types


def target_device() -> tuple[str, str]:
    """Returns platform and kind of the devices that are compiled for: `("tpu", "TPU v5 lite")`."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    if device is not None and device.platform:
        return device.platform, device.device_kind
    first = jax.devices()[0]
    return first.platform, first.device_kind


def cuda_capability() -> float:
    """Returns the compute capability of the NVIDIA GPUs that are compiled for, such as 9.0.

    It is 0 for other devices, and where a program is compiled for a GPU that is not attached, since
    kernels of cuDNN can only be chosen on the GPU itself.
    """
    if target_device()[0] not in ("gpu", "cuda") or jax.default_backend() != "gpu":
        return 0.0
    return float(getattr(jax.local_devices()[0], "compute_capability", 0))


def cache_bytes() -> int | None:
    """Returns the size that intermediate results should not exceed on the target device, in bytes.

    A processor computes faster what stays in its caches. None, without a bound, on accelerators,
    whose compilers tile products themselves, and where arrays span several devices.
    """
    return _CACHE_BYTES if target_device()[0] == "cpu" and not is_sharded() else None
