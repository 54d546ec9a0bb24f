"""The arithmetic of the published Upscale-A-Video program, against recorded tables."""

from pathlib import Path

import pytest

from venhancer_jax.convert.parity.__main__ import replay
from venhancer_jax.convert.parity.recording import find
from venhancer_jax.pipelines.upscale_a_video import official

GOLDENS = Path(__file__).parents[1] / "goldens" / "upscale_a_video"


@pytest.mark.parametrize("table", ["segments", "tiles"])
def test_recorded_tables(table: str):
    (recording,) = find([str(GOLDENS / f"{table}.json")])
    cases = replay(recording)
    assert (recording.system, recording.kind, len(cases)) == ("upscale_a_video", table, 3)
    assert [case.note for case in cases if not case.passed] == []


def test_narrow_frames_have_no_tile():
    assert official.tile_sides(64, 256) == []
    assert official.tile_sides(65, 256) == [((0, 65), (0, 65))]
