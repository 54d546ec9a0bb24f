"""Borders that show are found where they are, and only there."""

import numpy as np
import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.metrics.seams import Axis, seam_index

AXES: tuple[Axis, ...] = ("frames", "rows", "columns")


def moving() -> np.ndarray:
    """Returns frames `[12, 14, 16, 3]` in which every neighbour differs by about as much."""
    return np.random.default_rng(0).uniform(0, 1, (12, 14, 16, 3)).astype(np.float32)


@pytest.mark.parametrize("axis", AXES)
def test_jump_shows_on_its_axis_alone(axis: Axis):
    frames = moving()
    index = AXES.index(axis)
    slope = np.where(np.arange(frames.shape[index]) < 6, 0, 4).astype(np.float32)
    stepped = frames + slope.reshape([-1 if i == index else 1 for i in range(4)])
    assert seam_index(frames, [6], axis=axis) == pytest.approx(1, abs=0.1)
    assert seam_index(stepped, [6], axis=axis) == pytest.approx(12, rel=0.1)
    # Next to the border the jump counts as elsewhere.
    assert seam_index(stepped, [7], axis=axis) < 0.6
    for other in set(AXES) - {axis}:
        assert seam_index(stepped, [6], axis=other) == pytest.approx(1, abs=0.1)


def test_mean_of_several_borders():
    frames = np.zeros((6, 2, 2, 3), np.uint8)
    frames[2:] += 30
    frames[4:] += 200  # a difference of unsigned bytes would wrap
    frames[5:] -= 10
    assert seam_index(frames, [2, 4], axis="frames") == pytest.approx(115 / (10 / 3))
    assert seam_index(frames, [2, 4, 5], axis="frames") == float("inf")


def test_still_video_has_no_seam():
    assert seam_index(np.full((3, 8, 8, 3), 9, np.uint8), [4], axis="rows") == 1


@pytest.mark.parametrize("borders", [[0], [8], [], [1, 2, 3, 4, 5, 6, 7]])
def test_borders_that_cannot_be_compared_are_refused(borders: list[int]):
    with pytest.raises(InputError, match="border"):
        seam_index(np.zeros((2, 8, 8, 3)), borders, axis="rows")
