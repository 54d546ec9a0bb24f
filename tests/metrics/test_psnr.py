"""PSNR against known errors and scikit-image."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from venhancer_jax.metrics import mean_squared_error, psnr


def test_one_level_is_48_decibels() -> None:
    a = np.full((2, 8, 8, 3), 100, np.uint8)
    np.testing.assert_allclose(psnr(a, a + 1), 20 * np.log10(255))
    np.testing.assert_allclose(mean_squared_error(a + 5, a), (5 / 255) ** 2)


def test_every_frame_has_its_own(moving: np.ndarray, blurred: np.ndarray) -> None:
    expected = [peak_signal_noise_ratio(t, p) for t, p in zip(moving, blurred, strict=True)]
    np.testing.assert_allclose(psnr(blurred, moving), expected, rtol=1e-9)


def test_identical_frames_are_infinitely_close(moving: np.ndarray) -> None:
    assert np.isposinf(psnr(moving, moving)).all()
    assert psnr(moving[:1] ^ 1, moving[:1]) == pytest.approx(48.1308, abs=1e-4)
