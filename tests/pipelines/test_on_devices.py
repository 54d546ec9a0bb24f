"""How arrays are sharded over eight devices, in a process that has them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    process = subprocess.run(
        [sys.executable, TESTS / "pipelines" / "on_eight_devices.py"],
        env=os.environ
        | {
            "PYTHONPATH": f"{TESTS.parent}",
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        },
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def test_bytes_are_whole_on_every_device(report: dict[str, Any]):
    """Every process reads them; the frames before are sharded."""
    assert (report["devices"], report["shards"]) == (8, 8)
    assert not report["sharded"]
    assert report["replicated"] and report["bytes_right"]


def test_the_blended_buffer_is_sharded(report: dict[str, Any]):
    assert len(report["blended"]) > 2
    for whole, shard in report["blended"]:
        assert np.prod(shard) * 8 == np.prod(whole)


def test_blended_chunks_are_the_whole(report: dict[str, Any]):
    assert report["error"] < 1e-5
