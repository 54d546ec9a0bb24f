"""Guidance, rescale, v to x0, dynamic thresholding."""

import numpy as np

from venhancer_jax.diffusion.guidance import clamp_percentile, guide, v_to_x0

SHAPE = (2, 2, 3, 4, 4)
rng = np.random.default_rng(0)
# Two videos of different contrast: a rescale over both together would show.
FACTORS = np.float32([1, 5]).reshape(2, 1, 1, 1, 1)
CONDITIONAL = rng.standard_normal(SHAPE, np.float32) * FACTORS
UNCONDITIONAL = rng.standard_normal(SHAPE, np.float32)


def test_guide_is_the_formula_for_each_video():
    found = np.asarray(guide(CONDITIONAL, UNCONDITIONAL, 7.5, 0.2))
    for video, c, u in zip(found, CONDITIONAL, UNCONDITIONAL, strict=True):
        v = u + 7.5 * (c - u)
        expected = v * (0.2 * c.std(ddof=1) / v.std(ddof=1) + 0.8)
        np.testing.assert_allclose(video, expected, rtol=1e-4, atol=1e-4)


def test_scale_one_is_the_conditional_prediction():
    np.testing.assert_allclose(
        guide(CONDITIONAL, UNCONDITIONAL, 1.0, 0.2), CONDITIONAL, rtol=1e-5, atol=1e-5
    )


def test_scale_zero_is_the_unconditional_prediction():
    np.testing.assert_allclose(
        guide(CONDITIONAL, UNCONDITIONAL, 0.0, 0.0), UNCONDITIONAL, rtol=1e-5, atol=1e-5
    )


def test_no_prediction_at_all_is_finite():
    zeros = np.zeros(SHAPE, np.float32)
    np.testing.assert_array_equal(guide(zeros, zeros, 7.5, 1.0), zeros)


def test_v_prediction_gives_the_clean_latents_back():
    x0, noise, alpha, sigma = CONDITIONAL, UNCONDITIONAL, 0.6, 0.8
    x, v = alpha * x0 + sigma * noise, alpha * noise - sigma * x0
    np.testing.assert_allclose(v_to_x0(x, v, alpha, sigma), x0, atol=2e-6)


def test_percentile_clips_and_divides_each_video():
    x0 = CONDITIONAL * FACTORS
    found = np.asarray(clamp_percentile(x0, 0.9))
    for video, x in zip(found, x0, strict=True):
        limit = np.quantile(np.abs(x), 0.9)
        assert limit > 1
        np.testing.assert_allclose(video, np.clip(x, -limit, limit) / limit, atol=1e-6)


def test_percentile_leaves_small_latents_alone():
    small = CONDITIONAL / 100
    np.testing.assert_array_equal(clamp_percentile(small, 0.9), small)
