"""Overlapping windows along one axis, and the weights of tiles."""

import itertools
import math

import numpy as np
import pytest
from venhancer_jax.video.windows import equal_windows, gaussian_weights, sliding_windows


@pytest.mark.parametrize(
    ("length", "window", "overlap", "windows"),
    [
        (1, 5, 2, [(0, 1)]),
        (7, 5, 2, [(0, 7)]),
        (8, 5, 2, [(0, 5), (3, 8)]),
        (16, 5, 2, [(0, 5), (3, 8), (6, 11), (9, 16)]),
        (90, 72, 12, [(0, 90)]),
        (146, 72, 12, [(0, 72), (60, 146)]),
        (160, 128, 25, [(0, 160)]),
        (240, 128, 25, [(0, 128), (103, 240)]),
        (3, 2, 1, [(0, 3)]),
        (4, 2, 0, [(0, 2), (2, 4)]),
    ],
)
def test_sliding_windows(length: int, window: int, overlap: int, windows: list[tuple[int, int]]):
    assert sliding_windows(length, window, overlap) == windows


def test_windows_that_do_not_get_ahead_are_refused():
    with pytest.raises(ValueError, match="an overlap of 5: expected less than the window, 5"):
        sliding_windows(9, 5, 5)


@pytest.mark.parametrize("stride", range(1, 10))
@pytest.mark.parametrize("limit", [2, 3, 8, 9, 10, 31, 32, 33])
def test_equal_windows_keep_their_promises(stride: int, limit: int):
    for keys in range(1, 60):
        frames = (keys - 1) * stride + 1
        windows = equal_windows(frames, stride, limit)
        starts, ends = zip(*windows, strict=True)
        assert (starts[0], ends[-1]) == (0, frames)
        assert len({end - start for start, end in windows}) == 1
        assert all(start % stride == 0 for start in starts)
        # Each window goes on past the last, and shares frames with it.
        assert all(a < b for a, b in itertools.pairwise(starts))
        assert all(end > start for end, start in zip(ends, starts[1:], strict=False))
        longest = max(limit, stride + 1)  # two key frames at least
        assert ends[0] <= longest
        if frames <= limit:
            assert len(windows) == 1
        else:
            assert ends[0] > longest - stride


def test_equal_windows_overlap_by_half():
    assert equal_windows(65, 1, 32) == [(0, 32), (15, 47), (30, 62), (33, 65)]
    assert equal_windows(97, 3, 32) == [(0, 31), (15, 46), (30, 61), (45, 76), (60, 91), (66, 97)]


def test_gaussian_weights_are_the_formula():
    weights = gaussian_weights(6, 9)
    assert weights.shape == (6, 9)

    def bell(i: int, length: int, centre: float) -> float:
        z = (i - centre) / length
        return math.exp(-z * z / 0.04) / math.sqrt(0.04 * math.pi)

    for i, j in ((0, 0), (3, 4), (5, 2)):
        np.testing.assert_allclose(weights[i, j], bell(i, 6, 3) * bell(j, 9, 4), rtol=1e-12)


def test_gaussian_weights_are_centred_aside_but_not_above():
    weights = gaussian_weights(8, 8)
    np.testing.assert_array_equal(weights, weights[:, ::-1])
    assert weights[:, 0].argmax() == 4
    assert weights[3, 0] == weights[5, 0] > weights[2, 0]
