"""What chips are called, and that there is one row for each."""

import pytest

from venhancer_jax.sharding.chips import CHIPS, chip_of_kind, peak_flops


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("TPU v4", 275),
        ("TPU v5 lite", 197),
        ("TPU v5", 459),
        ("TPU v5p", 459),
        ("TPU v6 lite", 918),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("cpu", 0),
        ("NVIDIA H1000", 0),
    ],
)
def test_peaks_by_name(kind: str, peak: float):
    assert peak_flops(kind) == peak * 1e12


def test_the_longest_name_decides():
    chip = chip_of_kind("NVIDIA H100 PCIe")
    assert chip is not None and chip.name == "h100-pcie"
    assert chip_of_kind("cpu") is None


def test_names_are_of_one_chip_each():
    assert len({chip.name for chip in CHIPS}) == len(CHIPS)
    kinds = [kind for chip in CHIPS for kind in chip.kinds]
    assert len(set(kinds)) == len(kinds)
