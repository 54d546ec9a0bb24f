"""Positions of devices in a mesh, and what the target device can do."""

import dataclasses

import jax
import numpy as np
import pytest

from venhancer_jax.sharding import mesh
from venhancer_jax.sharding.mesh import device_mesh


@dataclasses.dataclass(frozen=True)
class TPU:
    """A core of a slice of v5e chips."""

    id: int
    coords: tuple[int, int, int]
    slice_index: int = 0
    process_index: int = 0
    core_on_chip: int = 0
    platform: str = "tpu"
    device_kind: str = "TPU v5 lite"


def slice_of(rows: int, columns: int, index: int = 0) -> list[TPU]:
    first = index * rows * columns
    return [
        TPU(first + y * columns + x, (x, y, 0), index) for y in range(rows) for x in range(columns)
    ]


def test_neighbours_in_the_mesh_are_neighbours_in_the_torus():
    """Two frames' neighbours are one hop apart, whatever the order of the devices."""
    shuffled = list(np.random.default_rng(0).permutation(16))
    devices = slice_of(4, 4)
    found = device_mesh({"data": 4, "context": 4}, [devices[i] for i in shuffled]).devices

    for line in found.reshape(4, 4):
        places = [device.coords for device in line]
        assert len({x for x, _, _ in places}) == 1 or len({y for _, y, _ in places}) == 1


@pytest.mark.parametrize("sizes", [{"data": 2, "context": 4}, {"data": 1, "fsdp": 2, "context": 4}])
def test_slices_are_apart_on_the_first_axes(sizes: dict[str, int]):
    """Frames are exchanged within a slice, never over the data-center network."""
    devices = [*slice_of(2, 2, 0), *slice_of(2, 2, 1)]
    interleaved = [devices[i] for i in (0, 4, 1, 5, 2, 6, 3, 7)]
    found = device_mesh(sizes, interleaved).devices.reshape(2, 4)

    assert [{device.slice_index for device in line} for line in found] == [{0}, {1}]


def test_other_devices_keep_their_order():
    devices = [object() for _ in range(8)]
    found = device_mesh({"data": 2, "context": 4}, devices).devices

    assert list(found.ravel()) == devices


def test_results_are_bounded_by_a_cache_on_processors_only(monkeypatch: pytest.MonkeyPatch):
    assert mesh.cache_bytes() == 12 * 2**20
    monkeypatch.setattr(mesh, "target_device", lambda: ("tpu", "TPU v5 lite"))
    assert mesh.cache_bytes() is None


def test_a_processor_has_no_cuda_capability():
    assert jax.default_backend() != "cpu" or mesh.cuda_capability() == 0
