"""Finds TPU slices and groups of GPUs by their public names, as devices to compile for."""

import dataclasses
import importlib.util
import os
from pathlib import Path
from typing import Any

import jax
from jax.experimental import topologies

from venhancer_jax.errors import InputError
from venhancer_jax.sharding.chips import CHIPS, Chip

_TARGETS = Path(__file__).parent / "targets"
_GPUS_IN_A_NODE = 8
# Environment variable of the share of a GPU's memory that JAX takes, and its default.
_GPU_FRACTION = ("XLA_PYTHON_CLIENT_MEM_FRACTION", 0.75)

# Shapes of the slices by the number of chips.
_FLAT = {
    1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16",
}  # fmt: skip
_CUBES = {
    4: "2x2x1", 8: "2x2x2", 16: "2x2x4", 32: "2x4x4", 64: "4x4x4", 128: "4x4x8", 256: "4x8x8",
    512: "8x8x8", 1024: "8x8x16", 2048: "8x16x16",
}  # fmt: skip
_GPU_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclasses.dataclass(frozen=True)
class _Family:
    """Slices of one kind of chip.

    Attributes:
      platform: `tpu` or `cuda`.
      layouts: name of the slice in the compiler, by number of chips.
      cores: number that the public name counts for each chip.
    """

    platform: str
    layouts: dict[int, str]
    cores: int = 1


def _node_layout(count: int) -> str:
    """Returns `slices x nodes x GPUs`, as the compiler for CUDA expects it."""
    in_node = min(count, _GPUS_IN_A_NODE)
    return f"1x{count // in_node}x{in_node}"


_GPUS = _Family("cuda", {count: _node_layout(count) for count in _GPU_COUNTS})
_FAMILIES = {
    "v5e": _Family("tpu", {count: f"v5e:{grid}" for count, grid in _FLAT.items()}),
    "v5p": _Family("tpu", {count: f"v5:{grid}" for count, grid in _CUBES.items()}, cores=2),
    "v6e": _Family("tpu", {count: f"v6e:{grid}" for count, grid in _FLAT.items()}),
    "a100": _GPUS,
    "h100": _GPUS,
    "h200": _GPUS,
}
# Module with the compiler, and the extra that installs it.
_COMPILERS = {"tpu": ("libtpu", "plan"), "cuda": ("jax_cuda12_plugin", "plan-cuda")}
# Without these libtpu searches for a TPU, and for the metadata server of a cloud.
_NO_TPU_HERE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
}


@dataclasses.dataclass(frozen=True)
class FakeDevice:
    """A placeholder device, with which arrays are sharded but nothing is compiled."""

    id: int
    device_kind: str
    platform: str
    process_index: int = 0


@dataclasses.dataclass(frozen=True)
class Topology:
    """Chips that a plan is for.

    Attributes:
      name: public name, such as `v5e-8`.
      chip: kind of the chips.
      devices: one device per chip, to compile for.
      platform: `tpu` or `cuda`.
      missing: command that installs the compiler, where it is not installed; then programs are
        estimated.
    """

    name: str
    chip: Chip
    devices: tuple[Any, ...]
    platform: str
    missing: str = ""

    @property
    def limit_bytes(self) -> int:
        """Returns the bytes that a program may use on one chip."""
        return int(self.chip.memory_bytes * memory_fraction(self.platform))


def fake_devices(count: int, chip: Chip, platform: str) -> tuple[FakeDevice, ...]:
    """Creates placeholder devices for topologies that nothing is compiled for."""
    return tuple(FakeDevice(i, chip.kinds[0], platform) for i in range(count))


def memory_fraction(platform: str) -> float:
    """Returns the share of a chip's memory that a program may use."""
    if platform != "cuda":
        return 1.0
    variable, default = _GPU_FRACTION
    return float(os.environ.get(variable, default))


def names(family: str | None = None) -> list[str]:
    """Lists the public names of all topologies, or of those of one family."""
    chosen = {family: _FAMILIES[family]} if family else _FAMILIES
    return [f"{name}-{n * f.cores}" for name, f in chosen.items() for n in f.layouts]


def find_topology(name: str) -> Topology:
    """Finds the devices of a public name.

    `v5e-8` and `v6e-256` count chips, `v5p-64` counts cores, of which a chip has two; GPUs are
    `a100-8`, `h100-8`, `h200-16`.

    Raises:
      InputError: no such name.
    """
    family_name, _, size = name.strip().lower().rpartition("-")
    family = _FAMILIES.get(family_name)
    if family is None:
        known = ", ".join(names(each)[-1] for each in _FAMILIES)
        raise InputError(f"plan {name!r}: expected a kind of chip and a number, such as {known}")
    count = int(size) // family.cores if size.isdigit() and int(size) % family.cores == 0 else 0
    if count not in family.layouts:
        raise InputError(f"plan {name!r}: expected one of {', '.join(names(family_name))}")
    chip = next(chip for chip in CHIPS if chip.name == family_name)
    module, extra = _COMPILERS[family.platform]
    missing = "" if importlib.util.find_spec(module) else f"pip install 'venhancer-jax[{extra}]'"
    devices = (
        fake_devices(count, chip, family.platform)
        if missing
        else tuple(_devices(family, family_name, count))
    )
    return Topology(f"{family_name}-{size}", chip, devices, family.platform, missing)


def neighbours(topology: Topology) -> list[tuple[str, int]]:
    """Lists larger topologies of the same chips: name and number of chips, smallest first."""
    family_name = topology.chip.name
    family = _FAMILIES[family_name]
    return [
        (f"{family_name}-{count * family.cores}", count)
        for count in sorted(family.layouts)
        if count > len(topology.devices)
    ]


def larger_memories(needed: int) -> list[tuple[str, int]]:
    """Lists the kinds of chips with at least `needed` bytes: name and limit, smallest first."""
    limits = {
        chip.name: int(chip.memory_bytes * memory_fraction(_FAMILIES[chip.name].platform))
        for chip in CHIPS
        if chip.name in _FAMILIES
    }
    return sorted(
        ((n, limit) for n, limit in limits.items() if limit >= needed), key=lambda x: x[1]
    )


def public_name(chip: str, count: int) -> str:
    """Returns the public name of the smallest topology with at least `count` chips of a kind."""
    family = _FAMILIES[chip]
    fits = [n for n in sorted(family.layouts) if n >= count] or [max(family.layouts)]
    return f"{chip}-{fits[0] * family.cores}"


def _devices(family: _Family, family_name: str, count: int) -> list[Any]:
    if family.platform == "tpu":
        for variable, value in _NO_TPU_HERE.items():
            os.environ.setdefault(variable, value)
        more: dict[str, Any] = {"chips_per_host_bounds": (1, 1, 1)} if count == 1 else {}
        found = topologies.get_topology_desc(
            platform="tpu", topology_name=family.layouts[count], **more
        )
    else:
        # Otherwise the plugin searches for a GPU.
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
        found = topologies.get_topology_desc(
            platform="cuda",
            target_config=(_TARGETS / f"{family_name}.txtpb").read_text(),
            topology=family.layouts[count],
        )
    return list(found.devices)


def compile_on_processor() -> None:
    """Keeps JAX from searching for accelerators; must be called before a device is used."""
    if not os.environ.get("JAX_PLATFORMS"):
        jax.config.update("jax_platforms", "cpu")
