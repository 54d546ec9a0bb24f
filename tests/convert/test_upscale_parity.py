"""Recordings of the Upscale-A-Video program, replayed."""

from pathlib import Path

import pytest

from venhancer_jax.convert.parity.__main__ import replay
from venhancer_jax.convert.parity.recording import Recording, find
from venhancer_jax.convert.parity.upscale_a_video.flow import official_clip_lengths

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


@pytest.mark.parametrize(
    ("frames", "width", "expected"),
    [
        (30, 640, [12, 13, 7]),
        (8, 641, [8]),
        (9, 720, [8, 2]),
        (5, 1280, [4, 2]),
        (5, 1281, [2, 3, 2]),
    ],
)
def test_official_clips(frames: int, width: int, expected: list[int]):
    assert official_clip_lengths(frames, width) == expected
