"""Public names of TPU slices and GPUs."""

import sys

import pytest
from planning.tiny import needs_libtpu

from venhancer_jax.errors import InputError
from venhancer_jax.planning.topology import (
    Topology,
    fake_devices,
    find_topology,
    larger_memories,
    names,
    neighbours,
    public_name,
)
from venhancer_jax.sharding.chips import CHIPS

GIB = 2**30


@needs_libtpu
@pytest.mark.parametrize(
    ("name", "chips", "kind"),
    [
        ("v5e-1", 1, "v5e"),
        ("v5e-8", 8, "v5e"),
        ("v5p-8", 4, "v5p"),
        ("v5p-256", 128, "v5p"),
        ("V6E-256", 256, "v6e"),
    ],
)
def test_slices_of_tpus(name: str, chips: int, kind: str):
    topology = find_topology(name)

    assert (len(topology.devices), topology.chip.name) == (chips, kind)
    assert topology.platform == "tpu"
    assert topology.devices[0].device_kind in topology.chip.kinds


def topology(chip: str, count: int) -> Topology:
    """A topology for which nothing is compiled."""
    kind = next(each for each in CHIPS if each.name == chip)
    platform = "tpu" if chip.startswith("v") else "cuda"
    return Topology(f"{chip}-{count}", kind, fake_devices(count, kind, platform), platform)


def test_public_names():
    assert public_name("v5p", 4) == "v5p-8" and public_name("v6e", 9) == "v6e-16"
    assert {"v5e-8", "v5p-256", "v6e-256", "a100-8", "h100-8", "h200-16"} <= set(names())


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("v5e-8", "libtpu", "plan"), ("h100-8", "jax_cuda12_plugin", "plan-cuda")],
)
def test_without_its_compiler(name: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, module, None)
    found = find_topology(name)
    assert found.missing == f"pip install 'venhancer-jax[{extra}]'"
    assert [device.id for device in found.devices] == list(range(8))


def test_limits(monkeypatch: pytest.MonkeyPatch):
    tpus, gpus = topology("v5e", 8), topology("h100", 8)
    assert tpus.limit_bytes == int(15.75 * GIB)
    # JAX takes three quarters of a GPU's memory by default.
    assert gpus.limit_bytes == int(0.75 * 84_929_347_584)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.9")
    assert gpus.limit_bytes == int(0.9 * 84_929_347_584)
    assert tpus.limit_bytes == int(15.75 * GIB)
    assert larger_memories(16 * GIB)[0] == ("v6e", int(31.25 * GIB))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("v5e-7", "v5e-1, v5e-4, v5e-8"),
        ("v5p-9", "v5p-8, v5p-16"),
        ("v5e", "v5e-256, v5p-4096"),
        ("b3-8", "h100-256"),
        ("v5e-x", "expected one of v5e-1"),
    ],
)
def test_wrong_names_get_the_right_ones(name: str, words: str):
    with pytest.raises(InputError, match=words):
        find_topology(name)


def test_neighbours_are_larger():
    assert neighbours(topology("v5p", 512))[0] == ("v5p-2048", 1024)
    assert neighbours(topology("v5e", 256)) == []
