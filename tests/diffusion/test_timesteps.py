"""Which times a sampler visits."""

import numpy as np
import pytest

from venhancer_jax.diffusion.schedule import cosine_interpolated_schedule
from venhancer_jax.diffusion.timesteps import (
    FAST_LEAST_LEVELS,
    edm_sigmas_for,
    even_times,
    fast_times,
)

SCHEDULE = cosine_interpolated_schedule()
# Time steps at which the reference implementation calls the network in its fast mode.
FAST = [899, 799, 699, 599, 500, 454, 409, 363, 318, 272, 227, 181, 136, 90]


def edm_sigmas(**changes) -> np.ndarray:
    return edm_sigmas_for(
        SCHEDULE, **{"solver": "dpmpp_2m_sde", "mode": "fast", "steps": 15, "t_max": 899} | changes
    )


def test_fast_times():
    times = fast_times(899)
    assert np.round(times).astype(int).tolist() == [*FAST, 45]
    np.testing.assert_allclose(times[5:7], [454.4546, 408.9091], atol=1e-4)


def test_fast_times_from_another_start():
    assert fast_times(699)[:5].tolist() == [699, 649, 599, 549, 500]


def test_fast_times_need_room_above_their_middle():
    def falls(levels: int) -> bool:
        return bool((np.diff(np.round(fast_times(levels - 1))) < 0).all())

    assert all(falls(levels) for levels in range(FAST_LEAST_LEVELS, 1001))
    assert not falls(FAST_LEAST_LEVELS - 1)


@pytest.mark.parametrize(
    ("spacing", "times"),
    [
        ("trailing", [9, 6.5, 4, 1.5]),
        ("leading", [7.5, 5, 2.5, 0]),
        ("linspace", [9, 6, 3, 0]),
    ],
)
def test_even_times(spacing, times):
    assert even_times(4, 9, spacing).tolist() == times


def test_fast_mode_has_fourteen_evaluations_whatever_the_steps():
    for steps in (3, 50):
        np.testing.assert_array_equal(edm_sigmas(steps=steps), edm_sigmas())
    times = np.round(SCHEDULE.time(edm_sigmas()[:-1])).astype(int)
    assert times.tolist() == FAST


@pytest.mark.parametrize("steps", [1, 15, 50])
@pytest.mark.parametrize("solver", ["dpmpp_2m_sde", "heun"])
def test_normal_mode_has_as_many_evaluations_as_steps(solver: str, steps: int):
    found = edm_sigmas(solver=solver, mode="normal", steps=steps)
    # The multistep solver leaves out the last of one more: its stride is shorter.
    stride = 900 / (steps + 1 if solver == "dpmpp_2m_sde" else steps)
    np.testing.assert_allclose(
        SCHEDULE.time(found[:-1]), 899 - stride * np.arange(steps), atol=2e-3
    )


def test_only_the_multistep_solver_drops_its_last_time():
    assert len(edm_sigmas()) == 15
    assert len(edm_sigmas(solver="heun")) == 16
    np.testing.assert_array_equal(edm_sigmas(solver="heun")[:14], edm_sigmas()[:14])


def test_levels_fall_to_zero():
    for changes in ({}, {"whole_times": True}, {"mode": "normal", "steps": 50}):
        found = edm_sigmas(**changes)
        assert found[-1] == 0
        assert (np.diff(found) < 0).all()


def test_whole_times_are_levels_of_the_schedule():
    t = np.array(FAST)
    np.testing.assert_array_equal(edm_sigmas(whole_times=True)[:-1], SCHEDULE.edm_sigma(t))
    assert (edm_sigmas()[5:] != edm_sigmas(whole_times=True)[5:]).sum() == 9


def test_the_last_time_is_infinite_noise():
    found = edm_sigmas(t_max=999)
    assert found[0] == np.inf
    assert np.isfinite(found[1:]).all()
