"""Grain that is measured, and grain that is added."""

import numpy as np
import pytest

from venhancer_jax.video.grain import LEVELS, add_grain, measure_grain

ROWS, COLUMNS = np.mgrid[:96, :256]
# Every brightness, without noise.
CLEAN = np.repeat(COLUMNS[..., None] * 0.9 + ROWS[..., None] * 0.1, 3, axis=2)
FLAT = np.zeros((64, 96, 3), np.float32)
EVEN = np.full(len(LEVELS), 0.05, np.float32)


def noisy(deviation: np.ndarray | float, white: int = 255) -> np.ndarray:
    noise = deviation * np.random.default_rng(0).standard_normal((96, 256, 1))
    frame = np.rint((CLEAN + noise) * (white / 255)).clip(0, white)
    return frame.astype(np.uint8 if white == 255 else np.uint16)


@pytest.mark.parametrize("white", [255, 65535])
def test_noise_is_measured(white: int):
    found = measure_grain(noisy(5.0, white)) * 127.5
    np.testing.assert_allclose(found[1:-1], 5, rtol=0.15)


def test_noise_is_measured_at_each_brightness():
    found = measure_grain(noisy(np.where(COLUMNS < 128, 8.0, 2.0)[..., None])) * 127.5
    np.testing.assert_allclose(found[[1, 2]], 8, rtol=0.25)
    np.testing.assert_allclose(found[[5, 6]], 2, rtol=0.3)


def test_clean_frames_have_no_grain():
    assert not measure_grain(noisy(0.0)).any()
    edges = noisy(0.0)
    edges[20:50, 40:90] = 255 - edges[20:50, 40:90]
    # Texture, where nobody can tell it from noise: half of the picture.
    edges[:48] ^= np.random.default_rng(0).integers(0, 32, (48, 256, 1), np.uint8)
    assert not measure_grain(edges).any()
    frame = np.full((16, 16, 3), 0.3, np.float32)
    assert add_grain(frame, measure_grain(edges), seed=0, index=0, scale=1) is frame


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_grain_has_the_measured_strength_and_size(scale: float):
    grain = add_grain(np.zeros((256, 256, 3), np.float32), EVEN, seed=1, index=0, scale=scale)
    assert grain.std() == pytest.approx(0.05, rel=0.06)
    assert (grain == grain[..., :1]).all()
    # Neighbours are alike where a pixel of the input covers several.
    alike = np.corrcoef(grain[:, 1:, 0].ravel(), grain[:, :-1, 0].ravel())[0, 1]
    assert alike > 0.9 if scale > 1 else abs(alike) < 0.02


def test_grain_is_a_function_of_seed_and_frame():
    first = add_grain(FLAT, EVEN, seed=1, index=7, scale=2)
    np.testing.assert_array_equal(add_grain(FLAT, EVEN, seed=1, index=7, scale=2), first)
    for other in ({"seed": 2, "index": 7}, {"seed": 1, "index": 8}):
        found = add_grain(FLAT, EVEN, scale=2, **other)
        assert abs(np.corrcoef(found.ravel(), first.ravel())[0, 1]) < 0.2


@pytest.mark.parametrize("level", [-1.0, -0.97, 0.97, 1.0])
def test_grain_leaves_no_cast_near_black_and_white(level: float):
    frame = np.full((256, 256, 3), level, np.float32)
    found = add_grain(frame, EVEN, seed=1, index=0, scale=1)
    assert np.abs(found).max() <= 1 + 1e-6
    assert found.mean() == pytest.approx(level, abs=2e-4)
    assert (found != frame).any() == (abs(level) < 1)
