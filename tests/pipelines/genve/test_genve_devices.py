"""A clip with a reference is the same on one device and on eight."""

from pathlib import Path

import numpy as np
import pytest
from pipelines.genve.on_devices import enhanced, write
from training import forked


@pytest.mark.slow
@pytest.mark.parametrize(
    "mesh", [{"data": 2, "context": 4}, {"data": 1, "context": 2, "rows": 2, "fsdp": 2}], ids=str
)
def test_eight_devices_compute_what_one_computes(mesh: dict[str, int], tmp_path: Path):
    path = tmp_path / "eight.npz"
    forked.run(tmp_path / "output.txt", write, path, mesh, devices=8)
    found, one = dict(np.load(path)), enhanced(None)
    assert found["devices"] == 8
    for kind, expected in one.items():
        difference = np.linalg.norm(found[kind] - expected)
        assert difference < 1e-5 * np.linalg.norm(expected), kind
