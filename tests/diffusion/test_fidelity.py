"""Low frequencies held to a reference by every solver."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.diffusion.fidelity import hold_low_frequencies, low_pass
from venhancer_jax.diffusion.noise import CounterNoise
from venhancer_jax.diffusion.schedule import cosine_interpolated_schedule
from venhancer_jax.diffusion.solvers import (
    ddim_steps,
    dpmpp_2m_sde_steps,
    heun_steps,
    solve,
)
from venhancer_jax.diffusion.timesteps import edm_sigmas_for, even_times

SCHEDULE = cosine_interpolated_schedule()
SHAPE = (1, 2, 16, 24, 4)
REFERENCE = CounterNoise(1)("reference", 0, SHAPE)
SIGMAS = edm_sigmas_for(
    SCHEDULE, solver="heun", mode="normal", steps=3, t_max=899, whole_times=True
)
STEPS = {
    "ddim": ddim_steps(SCHEDULE, even_times(3, 899)),
    "heun": heun_steps(SCHEDULE, SIGMAS),
    "dpmpp_2m_sde": dpmpp_2m_sde_steps(SCHEDULE, SIGMAS),
}


def denoise(x: jax.Array, t: np.integer) -> jax.Array:
    return 0.7 * x + 0.001 * int(t)


def solved(solver: str, fidelity: float) -> jax.Array:
    noise = CounterNoise(3)
    held = hold_low_frequencies(denoise, REFERENCE, fidelity)
    return solve(held, noise("start", 0, SHAPE), STEPS[solver], noise)


@pytest.mark.parametrize("solver", STEPS)
def test_low_frequencies_approach_the_reference(solver: str):
    distances = [
        float(jnp.abs(low_pass(solved(solver, fidelity)) - low_pass(REFERENCE)).mean())
        for fidelity in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert all(b < 0.95 * a for a, b in itertools.pairwise(distances))
    # Twice the filter is not the filter: what is left is at its edge.
    assert distances[-1] < 0.3 * distances[0]


def test_high_frequencies_are_those_of_the_denoiser():
    wave = jnp.broadcast_to((-1.0) ** jnp.arange(24)[:, None], SHAPE)
    found = hold_low_frequencies(lambda x, t: 1 * x, REFERENCE, 1.0)(wave, np.int32(0))
    middle = np.s_[:, :, :, 8:16]
    expected = (wave + low_pass(REFERENCE))[middle]
    np.testing.assert_allclose(found[middle], expected, atol=1e-3)


def test_zero_is_the_denoiser_itself():
    assert hold_low_frequencies(denoise, REFERENCE, 0.0) is denoise
    assert hold_low_frequencies(denoise, None, 0.5) is denoise


def test_a_constant_is_kept_up_to_the_edges():
    np.testing.assert_allclose(low_pass(jnp.full(SHAPE, 3.0)), 3, rtol=1e-5)
