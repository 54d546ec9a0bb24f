"""Speed, memory and bandwidth of accelerators, as published by their vendors.

Memory of a TPU is the part that its compiler gives to a program.
"""

import dataclasses

_GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """An accelerator, which JAX calls a device.

    Attributes:
      name: public name, such as `v5e` or `h100`.
      kinds: prefixes of JAX's `device_kind`, followed by a space, a hyphen or nothing.
      peak_flops: bfloat16 operations per second without sparsity.
      memory_bytes: memory of one chip, in bytes.
      memory_bandwidth: bandwidth of the memory, in bytes per second.
      link_bandwidth: bandwidth to the neighbours along one axis of the mesh, in bytes per second
        and direction.
    """

    name: str
    kinds: tuple[str, ...]
    peak_flops: float
    memory_bytes: int
    memory_bandwidth: float
    link_bandwidth: float


CHIPS = (
    Chip(
        name="v4",
        kinds=("TPU v4",),
        peak_flops=275e12,
        memory_bytes=int(30.75 * _GIB),
        memory_bandwidth=1228e9,
        link_bandwidth=100e9,
    ),
    Chip(
        name="v5e",
        kinds=("TPU v5 lite", "TPU v5e"),
        peak_flops=197e12,
        memory_bytes=int(15.75 * _GIB),
        memory_bandwidth=819e9,
        link_bandwidth=100e9,
    ),
    Chip(
        name="v5p",
        kinds=("TPU v5", "TPU v5p"),
        peak_flops=459e12,
        memory_bytes=int(95.74 * _GIB),
        memory_bandwidth=2765e9,
        link_bandwidth=200e9,
    ),
    Chip(
        name="v6e",
        kinds=("TPU v6 lite", "TPU v6e"),
        peak_flops=918e12,
        memory_bytes=int(31.25 * _GIB),
        memory_bandwidth=1640e9,
        link_bandwidth=224e9,
    ),
    Chip(
        name="a100",
        kinds=("NVIDIA A100",),
        peak_flops=312e12,
        memory_bytes=85_899_345_920,
        memory_bandwidth=2039e9,
        link_bandwidth=300e9,
    ),
    Chip(
        name="h100",
        kinds=("NVIDIA H100",),
        peak_flops=989e12,
        memory_bytes=84_929_347_584,
        memory_bandwidth=3352e9,
        link_bandwidth=450e9,
    ),
    Chip(
        name="h100-pcie",
        kinds=("NVIDIA H100 PCIe",),
        peak_flops=756e12,
        memory_bytes=84_929_347_584,
        memory_bandwidth=2039e9,
        link_bandwidth=64e9,
    ),
    Chip(
        name="h200",
        kinds=("NVIDIA H200",),
        peak_flops=989e12,
        memory_bytes=150_754_820_096,
        memory_bandwidth=4800e9,
        link_bandwidth=450e9,
    ),
)


def chip_of_kind(kind: str) -> Chip | None:
    """Returns the chip with the longest name that matches a `device_kind`; None if unknown."""
    fits = [
        (len(name), chip)
        for chip in CHIPS
        for name in chip.kinds
        if kind == name or kind.startswith((f"{name} ", f"{name}-"))
    ]
    return max(fits, key=lambda fit: fit[0])[1] if fits else None


def peak_flops(kind: str) -> float:
    """Returns the peak operations per second of a device by its `device_kind`; 0 if unknown."""
    chip = chip_of_kind(kind)
    return chip.peak_flops if chip else 0.0
