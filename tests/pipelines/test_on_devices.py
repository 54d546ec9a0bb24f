"""How arrays are sharded over eight devices, in a process that has them."""

import json
from typing import Any

import numpy as np
import pytest
from pipelines.on_eight_devices import write
from training import forked


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("eight")
    forked.run(folder / "output.txt", write, folder / "report.json", devices=8)
    return json.loads((folder / "report.json").read_text())


def test_bytes_are_whole_on_every_device(report: dict[str, Any]):
    """Every process reads them; the frames before are sharded."""
    assert (report["devices"], report["shards"]) == (8, 8)
    assert not report["sharded"]
    assert report["replicated"] and report["bytes_right"]


def test_the_blended_buffer_is_sharded(report: dict[str, Any]):
    assert len(report["blended"]) > 2
    for whole, shard in report["blended"]:
        assert np.prod(shard) * 8 == np.prod(whole)
    # Said at each addition, not left to the compiler, which may shard otherwise elsewhere.
    assert all(report["constrained"])


def test_blended_chunks_are_the_whole(report: dict[str, Any]):
    assert report["error"] < 1e-5


def test_coarse_latents_are_held_alike_on_all_devices(report: dict[str, Any]):
    assert report["held"] < 1e-5
