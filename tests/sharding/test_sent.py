"""What goes between eight devices in a denoising step, read off the compiled program."""

from pathlib import Path
from typing import Any

import pytest
from sharding.compiled_step import compiled_step

MIB = 2**20


def assert_only_what_is_meant(found: dict[str, Any]) -> None:
    counts = found["counts"]
    # Pixels for frames, and back.
    assert counts["all-to-all"] == 2 * found["temporal_transformers"] > 0
    # One frame from each neighbour for each convolution over frames.
    halos = 2 * found["temporal_convolutions"]
    assert 0 < halos <= counts["collective-permute"] <= halos + 4  # and the guidance pair meets
    # Statistics of norms over all frames; on TPU the smallest tile of an array has 4 KiB.
    assert counts["all-reduce"] > 0
    assert found["bytes"]["all-reduce"] < 0.1 * MIB + 4096 * counts["all-reduce"]
    # Results that devices share unevenly come whole: latents of four channels, no features.
    assert found["bytes"].get("all-gather", 0) < 0.1 * MIB, found["gathered"]


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_even_frames(platform: str, tmp_path: Path):
    if platform == "tpu":
        pytest.importorskip("libtpu", reason="the compiler of TPUs is in the package libtpu")
    assert_only_what_is_meant(compiled_step(tmp_path, platform, 8))


def test_uneven_frames_are_gathered_as_latents_only(tmp_path: Path):
    assert_only_what_is_meant(compiled_step(tmp_path, "cpu", 5))
