"""Real-world degradations."""

import numpy as np
import pytest

from venhancer_jax.data import degrade
from venhancer_jax.data.jpeg import jpeg
from venhancer_jax.data.kernels import random_kernel, sinc_kernel


@pytest.fixture
def frames():
    y, x = np.mgrid[:48, :64]
    waves = [127 + 90 * np.sin(x / (4 + c) + y / 7 + t) for t in range(3) for c in range(3)]
    return np.stack(waves, -1).reshape(48, 64, 3, 3).transpose(2, 0, 1, 3).astype(np.uint8)


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((np.float64(a) - b) ** 2))


def test_deterministic_and_of_the_asked_size(frames):
    for seed in range(4):
        a, b = (degrade.degrade(frames, (12, 17), np.random.default_rng(seed)) for _ in range(2))
        assert a.shape == (3, 12, 17, 3) and a.dtype == np.uint8
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, degrade.degrade(frames, (12, 17), np.random.default_rng(9)))


def test_it_is_still_that_clip(frames):
    expected = frames.reshape(3, 24, 2, 32, 2, 3).mean((2, 4))
    results = [degrade.degrade(frames, (24, 32), np.random.default_rng(seed)) for seed in range(12)]
    likeness = [np.corrcoef(result.ravel(), expected.ravel())[0, 1] for result in results]
    assert np.median(likeness) > 0.6
    assert max(psnr(result, expected) for result in results) < 40


def test_kernels_sum_to_one_and_are_centred():
    rng = np.random.default_rng(0)
    for _ in range(200):
        kernel = random_kernel(rng, (0.2, 3))
        assert kernel.shape[0] in range(7, 22, 2) and kernel.sum() == pytest.approx(1)
        np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-12)
    assert sinc_kernel(rng, 21).min() < 0


def test_blur_mirrors_the_edges(frames):
    kernel = random_kernel(np.random.default_rng(4), (1, 3))
    reach = len(kernel) // 2
    around = [(0, 0), (reach, reach), (reach, reach), (0, 0)]
    wide = np.pad(frames.astype("f4"), around, mode="symmetric")
    inside = degrade.blur(wide, kernel)[:, reach:-reach, reach:-reach]
    np.testing.assert_allclose(degrade.blur(frames.astype("f4"), kernel), inside, atol=1e-3)


def test_blur_against_direct_sums(frames):
    kernel = random_kernel(np.random.default_rng(3), (0.2, 3), sinc=False)
    reach = len(kernel) // 2
    around = [(reach, reach), (reach, reach), (0, 0)]
    padded = np.pad(frames[1].astype(float), around, mode="symmetric")
    window = padded[10 : 10 + len(kernel), 20 : 20 + len(kernel)]
    expected = np.einsum("yx,yxc->c", kernel[::-1, ::-1], window)
    np.testing.assert_allclose(
        degrade.blur(frames.astype("f4"), kernel)[1, 10, 20], expected, rtol=1e-4
    )


def test_jpeg_quality_orders_loss(frames):
    grey = frames.mean(-1, keepdims=True).repeat(3, -1)
    losses = [psnr(jpeg(grey, quality), grey) for quality in (10, 30, 60, 95)]
    assert losses == sorted(losses) and losses[-1] > 45
    flat = np.full((1, 20, 30, 3), 90, np.uint8)
    assert np.abs(jpeg(flat, 95) - flat).max() <= 1


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_codec_gives_the_same_bytes_each_time(codec):
    noise = np.random.default_rng(0).integers(0, 256, (9, 20, 14, 3)).astype(np.float32)
    assert len({degrade.compress(noise, codec, 1e4).tobytes() for _ in range(12)}) == 1


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_codec_keeps_shape_and_levels(frames, codec):
    odd = np.concatenate([frames] * 8)[:, :47, :63].astype(np.float32)
    coded = degrade.compress(odd, codec, 2e6)
    assert coded.shape == odd.shape
    assert psnr(coded, odd) > 25
    assert psnr(degrade.compress(odd, codec, 1e4), odd) < psnr(coded, odd)


def test_noise_of_the_asked_strength():
    grey = np.full((4, 64, 64, 3), 128, np.float32)
    for seed in range(8):
        noisy = degrade.add_noise(grey, np.random.default_rng(seed), sigma=(10, 10), poisson=(0, 0))
        assert noisy.std() == pytest.approx(10, rel=0.05) or noisy.std() == 0
