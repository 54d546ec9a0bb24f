"""Windows over a clip, joined at every step."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from venhancer_jax.diffusion.windowed import cross_fade, join, windowed

WINDOWS = [
    [(0, 9)],
    [(0, 5), (3, 9)],
    [(0, 4), (4, 9)],
    [(0, 4), (2, 6), (5, 9)],
    [(0, 5), (1, 6), (2, 7), (4, 9)],
]
CLIP = np.random.default_rng(0).standard_normal((1, 9, 2, 3, 4), np.float32)


@pytest.mark.parametrize("windows", WINDOWS)
def test_windows_do_not_change_what_is_done_to_each_frame(windows: list[tuple[int, int]]):
    denoise = windowed(lambda x, t, window: x * t, windows)
    np.testing.assert_allclose(denoise(CLIP, jnp.int32(3)), CLIP * 3, atol=1e-6)


def test_a_window_is_told_where_it_is():
    told = []

    def denoise_window(x: jax.Array, t: jax.Array, windows: Sequence[tuple[int, int]]) -> jax.Array:
        (window,) = windows
        np.testing.assert_array_equal(x, CLIP[:, slice(*window)])
        told.append((window, int(t)))
        return x

    windowed(denoise_window, WINDOWS[3])(CLIP, jnp.int32(5))
    assert told == [((0, 4), 5), ((2, 6), 5), ((5, 9), 5)]


@pytest.mark.parametrize("at_once", [1, 2, 3, 4])
@pytest.mark.parametrize("windows", WINDOWS)
def test_windows_share_a_batch(windows: list[tuple[int, int]], at_once: int):
    """A batch holds windows of one length in order; what fills it up changes nothing."""
    told = []

    def denoise_windows(x: jax.Array, t: jax.Array, batch: Sequence[tuple[int, int]]) -> jax.Array:
        told.append(batch)
        assert len(x) == at_once
        for part, window in zip(x, batch, strict=True):
            np.testing.assert_array_equal(part, CLIP[0, slice(*window)])
        return x * t + jnp.array([end for _, end in batch]).reshape(-1, 1, 1, 1, 1)

    found = windowed(denoise_windows, windows, at_once)(CLIP, jnp.int32(5))
    one_by_one = windowed(lambda x, t, batch: x * t + batch[0][1], windows)(CLIP, jnp.int32(5))
    np.testing.assert_allclose(found, one_by_one, atol=1e-6)
    given = list(dict.fromkeys(window for batch in told for window in batch))
    assert given == windows
    assert all(len({end - start for start, end in batch}) == 1 for batch in told)


def test_later_window_starts_with_weight_zero():
    zeros, ones = np.zeros((1, 6, 1), np.float32), np.ones((1, 6, 1), np.float32)
    found = join([zeros, ones], [(0, 6), (2, 8)])
    np.testing.assert_allclose(found[0, :, 0], [0, 0, 0, 0.25, 0.5, 0.75, 1, 1])


def test_cross_fade_of_nothing():
    empty = np.zeros((1, 0, 2), np.float32)
    assert cross_fade(empty, empty).shape == (1, 0, 2)


def test_three_windows_over_one_frame():
    """Each window fades in over the whole overlap with those before, joined already."""
    windows = WINDOWS[4]
    parts = [CLIP[:, start:end] + k for k, (start, end) in enumerate(windows)]
    expected = np.zeros(CLIP.shape)
    covered = 0
    for part, (start, end) in zip(parts, windows, strict=True):
        for frame in range(start, end):
            weight = (frame - start) / (covered - start) if frame < covered else 1
            new = part[:, frame - start]
            expected[:, frame] = (1 - weight) * expected[:, frame] + weight * new
        covered = end
    np.testing.assert_allclose(join(parts, windows), expected, atol=1e-5)
