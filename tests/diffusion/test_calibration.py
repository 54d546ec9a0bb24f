"""Equation 3 of GenVE: shares of the original, and what the solver starts each step from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.diffusion.calibration import STREAM, calibrate, calibration_weights
from venhancer_jax.diffusion.noise import CounterNoise
from venhancer_jax.diffusion.schedule import cosine_interpolated_schedule, scaled_linear_schedule
from venhancer_jax.diffusion.solvers import ddim_steps, solve
from venhancer_jax.diffusion.timesteps import even_times

SHAPE = (1, 1, 4, 6, 4)
NOISE = CounterNoise(5)
ORIGINAL = CounterNoise(1)("original", 0, SHAPE)
SCHEDULES = [cosine_interpolated_schedule(), scaled_linear_schedule(0.00085, 0.012)]
TIMES = np.round(even_times(6, 600)).astype(int)


def denoise(x: jax.Array, t: np.integer) -> jax.Array:
    return jnp.tanh(0.7 * x) + 0.001 * int(t)


def starts(schedule, shares=None) -> list[np.ndarray]:
    """Latents that each step starts from, and the result; None is plain image-to-image."""
    found = []

    def watched(x: jax.Array, t: np.integer) -> jax.Array:
        found.append(np.asarray(x))
        return denoise(x, t)

    start = schedule.add_noise(ORIGINAL, NOISE("start", 0, SHAPE), TIMES[0])
    adjust = None
    if shares is not None:
        adjust = calibrate(ORIGINAL, schedule, TIMES, NOISE, shares)
    x = solve(watched, start, ddim_steps(schedule, TIMES), NOISE, adjust=adjust)
    return [*found, np.asarray(x)]


def constant(share: float):
    return lambda times, start: np.full(len(times), share, np.float32)


def test_shares_fall_from_a_half_to_zero():
    shares = calibration_weights(np.arange(601), 600)

    assert shares[600] == 0.5
    assert shares[0] == 0
    assert (np.diff(shares) > 0).all()
    # Half a cosine is flat at both ends and steepest in the middle.
    assert shares[300] == 0.25
    assert max(shares[1] - shares[0], shares[600] - shares[599]) < 1e-5


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["prior", "sd21"])
def test_shares_of_zero_are_plain_image_to_image(schedule):
    for found, expected in zip(starts(schedule, constant(0)), starts(schedule), strict=True):
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["prior", "sd21"])
def test_shares_of_one_start_the_last_step_from_the_noised_original(schedule):
    found = starts(schedule, constant(1))

    for i, t in list(enumerate(TIMES))[1:]:
        fresh = NOISE(STREAM, i - 1, SHAPE)
        assert found[i].tobytes() == np.asarray(schedule.add_noise(ORIGINAL, fresh, t)).tobytes()
    # The last step is free.
    np.testing.assert_array_equal(found[-1], denoise(jnp.asarray(found[-2]), TIMES[-1]))


def test_each_step_mixes_by_the_share_of_the_time_it_reaches():
    schedule = SCHEDULES[0]
    steps = ddim_steps(schedule, TIMES)
    found = starts(schedule, calibration_weights)

    for i in range(len(TIMES) - 1):
        t = TIMES[i + 1]
        share = 0.25 * (1 - np.cos(np.pi * t / 600))
        x0 = denoise(jnp.asarray(found[i]), TIMES[i])
        x = steps.c_x[i] * found[i] + steps.c_x0[i] * np.asarray(x0)
        fresh = np.asarray(NOISE(STREAM, i, SHAPE))
        noised = schedule.alphas[t] * np.asarray(ORIGINAL) + schedule.sigmas[t] * fresh
        np.testing.assert_allclose(found[i + 1], (1 - share) * x + share * noised, atol=1e-5)


def test_every_step_has_noise_of_its_own():
    adjust = calibrate(jnp.zeros(SHAPE), SCHEDULES[0], [600, 600, 600], NOISE, constant(1))

    first, second = (np.asarray(adjust(jnp.zeros(SHAPE), i)) for i in range(2))
    assert np.abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.3
