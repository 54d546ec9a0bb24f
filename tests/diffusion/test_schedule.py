"""Noise schedules against published numbers, recordings and formulas."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from venhancer_jax.diffusion.schedule import (
    STEPS,
    cosine_interpolated_schedule,
    cosine_interpolated_sigmas,
    named_schedule,
    scaled_linear_alphas_cumprod,
)
from venhancer_jax.errors import InputError

SCHEDULE = cosine_interpolated_schedule()


def test_published_levels():
    np.testing.assert_allclose(SCHEDULE.sigmas[0], 0.00110626, rtol=3e-6)
    np.testing.assert_allclose(SCHEDULE.sigmas[899], 0.99909365, rtol=1e-7)
    np.testing.assert_allclose(SCHEDULE.alphas[899], 0.04256597, rtol=1e-6)
    assert SCHEDULE.sigmas[999] == 1
    assert SCHEDULE.alphas[999] == 0


def test_table_is_the_formula():
    assert np.abs(SCHEDULE.sigmas - cosine_interpolated_sigmas()).max() < 4e-7


def test_formula_is_the_plain_cosine_between_equal_sizes():
    sigmas = cosine_interpolated_sigmas(scale_min=1, scale_max=1, logsnr_min=-10, logsnr_max=10)
    # A cosine log-SNR means sigma = sin of an angle that grows evenly; then the stretch to 1.
    angles = np.linspace(np.arctan(np.exp(-5)), np.arctan(np.exp(5)), STEPS)
    plain = np.sin(angles)
    stretched = plain[0] + (plain - plain[0]) * (1 - plain[0]) / (plain[-1] - plain[0])
    np.testing.assert_allclose(sigmas, stretched, atol=1e-12)


def test_larger_frames_are_noised_more():
    twice = cosine_interpolated_sigmas(scale_min=2, scale_max=2)
    for changed in ({"scale_min": 4, "scale_max": 2}, {"scale_min": 2, "scale_max": 4}):
        assert (cosine_interpolated_sigmas(**changed)[200:800] > twice[200:800]).all()


def test_levels_preserve_variance_and_grow():
    np.testing.assert_allclose(SCHEDULE.alphas**2 + SCHEDULE.sigmas**2, 1, atol=1e-6)
    assert (np.diff(SCHEDULE.sigmas) > 0).all()
    assert (np.diff(SCHEDULE.log_edm_sigmas) > 0).all()


def test_edm_sigma_at_integer_times_is_the_ratio():
    t = np.arange(STEPS - 1)
    np.testing.assert_allclose(
        SCHEDULE.edm_sigma(t), SCHEDULE.sigmas[t] / SCHEDULE.alphas[t], rtol=2e-6
    )


def test_edm_sigma_between_times_is_interpolated_in_its_logarithm():
    low, high = SCHEDULE.edm_sigma(np.array([454.0, 455.0])).astype(float)
    np.testing.assert_allclose(
        SCHEDULE.edm_sigma(np.array([454.25])), low**0.75 * high**0.25, rtol=2e-6
    )


def test_edm_sigma_is_infinite_from_the_last_but_one_time_on():
    edm_sigma = SCHEDULE.edm_sigma(np.array([998, 998.5, 999]))
    assert np.isfinite(edm_sigma).tolist() == [True, False, False]
    assert (edm_sigma[1:] == np.inf).all()


def test_time_is_the_inverse_of_edm_sigma():
    t = np.linspace(0, 998, 4321, dtype=np.float32)
    np.testing.assert_allclose(SCHEDULE.time(SCHEDULE.edm_sigma(t)), t, atol=2e-3)


def test_time_outside_the_schedule():
    np.testing.assert_array_equal(SCHEDULE.time(np.array([0, 1e-6, np.inf])), [0, 0, 999])


def test_schedules_compute_in_float32():
    for array in (SCHEDULE.alphas, SCHEDULE.sigmas, SCHEDULE.log_edm_sigmas):
        assert array.dtype == np.float32
        assert array.shape == (STEPS,)
    assert SCHEDULE.edm_sigma(np.array([3.5])).dtype == np.float32
    assert SCHEDULE.time(np.array([0.5])).dtype == np.float32


def test_scaled_linear_products_are_bit_equal_to_the_recorded_ones():
    goldens = Path(__file__).parents[1] / "goldens/upscale_a_video"
    recorded = load_file(goldens / "schedulers.safetensors")["alphas_cumprod"]
    assert scaled_linear_alphas_cumprod().tobytes() == recorded.tobytes()


def test_schedules_by_name():
    assert named_schedule("cosine_interpolated") is SCHEDULE
    linear = named_schedule("scaled_linear")
    np.testing.assert_array_equal(linear.alphas**2, np.sqrt(scaled_linear_alphas_cumprod()) ** 2)
    np.testing.assert_allclose(linear.alphas**2 + linear.sigmas**2, 1, atol=2e-7)
    with pytest.raises(InputError, match="'cosine': expected one of cosine_interpolated"):
        named_schedule("cosine")
