"""Public names of TPU slices and GPUs."""

import pytest
from planning.tiny import needs_libtpu

from venhancer_jax.errors import InputError
from venhancer_jax.planning.topology import find_topology, names, neighbours, public_name

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
    assert topology.missing is None and topology.platform == "tpu"
    assert topology.devices[0].device_kind in topology.chip.kinds


def test_every_name_is_found_without_wheels(no_wheels: None):
    for name in names():
        topology = find_topology(name)
        assert topology.name == name
        assert public_name(topology.chip.name, len(topology.devices)) == name
        assert topology.missing and topology.devices[0].platform == topology.platform


def test_limits(no_wheels: None, monkeypatch: pytest.MonkeyPatch):
    assert find_topology("v5e-8").limit_bytes == int(15.75 * GIB)
    # JAX takes three quarters of a GPU's memory unless it is told otherwise.
    assert find_topology("h100-8").limit_bytes == int(0.75 * 84_929_347_584)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.9")
    assert find_topology("h100-8").limit_bytes == int(0.9 * 84_929_347_584)
    assert find_topology("v5e-8").limit_bytes == int(15.75 * GIB)


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
def test_wrong_names_are_told_the_right_ones(name: str, words: str):
    with pytest.raises(InputError, match=words):
        find_topology(name)


def test_larger_ones(no_wheels: None):
    assert neighbours(find_topology("v5p-1024"))[0] == ("v5p-2048", 1024)
    assert neighbours(find_topology("v5e-256")) == []
    assert public_name("v6e", 9) == "v6e-16"
