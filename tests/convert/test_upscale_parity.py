"""Recordings of the Upscale-A-Video program, replayed."""

from pathlib import Path

import pytest

from venhancer_jax.convert.parity.__main__ import replay
from venhancer_jax.convert.parity.recording import Recording, find

GOLDENS = Path(__file__).parents[1] / "goldens" / "upscale_a_video"
# Whole networks.
SLOW = {"unet_reduced_t1"}


@pytest.fixture(scope="module")
def recordings() -> dict[str, Recording]:
    return {recording.path.stem: recording for recording in find([str(GOLDENS)])}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name in sorted(p.stem for p in GOLDENS.iterdir())
    ],
)
def test_recording_is_met(recordings: dict[str, Recording], name: str):
    cases = replay(recordings[name])

    assert cases
    assert [case for case in cases if not case.passed] == []
