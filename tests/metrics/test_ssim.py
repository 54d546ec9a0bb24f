"""SSIM against scikit-image, MS-SSIM against the formula written out."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from venhancer_jax.errors import InputError
from venhancer_jax.metrics import luma, ms_ssim, ssim

OPTIONS = {
    "gaussian_weights": True,
    "sigma": 1.5,
    "use_sample_covariance": False,
    "data_range": 1.0,
}


def test_rgb_is_that_of_scikit_image(moving: np.ndarray, blurred: np.ndarray) -> None:
    expected = [
        structural_similarity(t / 255, p / 255, channel_axis=-1, **OPTIONS)
        for t, p in zip(moving, blurred, strict=True)
    ]
    np.testing.assert_allclose(ssim(blurred, moving), expected, rtol=1e-9)


def test_luma_is_that_of_scikit_image(moving: np.ndarray, blurred: np.ndarray) -> None:
    a, b = luma(blurred), luma(moving)
    expected = structural_similarity(b[2, ..., 0], a[2, ..., 0], **OPTIONS)
    assert ssim(a, b)[2] == pytest.approx(expected, rel=1e-9)


def test_identical_frames_have_one(picture: np.ndarray) -> None:
    assert ssim(picture[None], picture[None]) == pytest.approx(1)
    assert ms_ssim(picture[None], picture[None]) == pytest.approx(1)


def formula(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2003 of one channel `[H, W]`, from the values of each window `[H, W, 11, 11]`."""
    distance = np.arange(11) - 5
    kernel = np.exp(-(distance[:, None] ** 2 + distance**2) / (2 * 1.5**2))
    kernel /= kernel.sum()

    def mean(values: np.ndarray) -> np.ndarray:
        return np.tensordot(values, kernel, 2)

    product = 1.0
    for scale, exponent in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        a, b = (np.lib.stride_tricks.sliding_window_view(z, (11, 11)) for z in (x, y))
        mean_a, mean_b = mean(a), mean(b)
        a, b = a - mean_a[..., None, None], b - mean_b[..., None, None]
        similar = (2 * mean(a * b) + 9e-4) / (mean(a**2) + mean(b**2) + 9e-4)
        if scale == 4:
            similar *= (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
        product *= similar.mean() ** exponent
        rows, columns = x.shape[0] // 2, x.shape[1] // 2
        x, y = (
            z[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean((1, 3)) for z in (x, y)
        )
    return product


def test_ms_ssim_is_the_formula(picture: np.ndarray) -> None:
    target = picture[None, :177, :179, :2]  # odd sides
    noise = np.random.default_rng(1).normal(0, 20, target.shape)
    pred = np.clip(0.8 * target + 30 + noise, 0, 255).astype(np.uint8)
    expected = [formula(pred[0, ..., c] / 255, target[0, ..., c] / 255) for c in range(2)]
    assert ms_ssim(pred, target) == pytest.approx(np.mean(expected), rel=1e-9)


def test_the_opposite_is_zero_and_no_complex_power(picture: np.ndarray) -> None:
    assert ms_ssim(255 - picture[None], picture[None]) == 0


@pytest.mark.parametrize(("measure", "least"), [(ssim, 11), (ms_ssim, 176)])
def test_too_small_frames_are_told(measure, least: int) -> None:
    frames = np.zeros((1, least, least + 5, 3), np.uint8)
    assert measure(frames, frames) == pytest.approx(1)
    with pytest.raises(InputError, match=f"{least + 5}x{least - 1}.*{least} pixels"):
        measure(frames[:, 1:], frames[:, 1:])
