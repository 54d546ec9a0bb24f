"""Solvers against textbook loops in float64 and against known solutions.

The clean latents are normal with mean 0.7 and deviation 0.5, each number by itself, so that the
perfect denoiser is linear and the probability flow has a closed form.
"""

import math
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.diffusion.noise import RecordedNoise
from venhancer_jax.diffusion.schedule import cosine_interpolated_schedule
from venhancer_jax.diffusion.solvers import (
    STREAM,
    HeunSteps,
    LinearSteps,
    Refine,
    ddim_steps,
    dpmpp_2m_sde_steps,
    heun_steps,
    linear_step,
    solve,
)
from venhancer_jax.diffusion.timesteps import edm_sigmas_for, even_times

SHAPE = (1, 2, 2, 3, 4)
MEAN, STD = 0.7, 0.5
SCHEDULE = cosine_interpolated_schedule()
FAST = edm_sigmas_for(
    SCHEDULE, solver="dpmpp_2m_sde", mode="fast", steps=15, t_max=899, whole_times=True
)
FROM_INFINITY = edm_sigmas_for(
    SCHEDULE, solver="heun", mode="normal", steps=6, t_max=999, whole_times=True
)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


NOISE = normal(1, 14, *SHAPE)
START = normal(2, *SHAPE)


def clean(x: np.ndarray, edm_sigma: float) -> np.ndarray:
    """The perfect denoiser where noise has level sigma / alpha."""
    if np.isinf(edm_sigma):
        return np.full_like(x, MEAN)
    return (MEAN * edm_sigma**2 + x * STD**2) / (edm_sigma**2 + STD**2)


def flow(x: np.ndarray, edm_sigma: float, to: float) -> np.ndarray:
    """The probability flow of the perfect denoiser from one level to another."""
    return MEAN + (x - MEAN) * math.sqrt((STD**2 + to**2) / (STD**2 + edm_sigma**2))


def of_levels(edm_sigmas: Iterable[float]) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The perfect denoiser of a network's input, when asked for these levels one after another."""
    levels = iter(edm_sigmas)

    def denoise(x: jax.Array, t: jax.Array) -> jax.Array:
        edm_sigma = next(levels)
        scaled = np.asarray(x, np.float64) * (1 if np.isinf(edm_sigma) else np.hypot(1, edm_sigma))
        return jnp.asarray(clean(scaled, edm_sigma), jnp.float32)

    return denoise


def run(steps: LinearSteps | HeunSteps, levels: Iterable[float], start=START) -> np.ndarray:
    noise = RecordedNoise({STREAM: NOISE})
    return np.asarray(solve(of_levels(levels), jnp.asarray(start), steps, noise))


def textbook_2m_sde(
    x: np.ndarray, edm_sigmas: np.ndarray, *, eta: float, noise_scale: float, second_order: str
) -> np.ndarray:
    """The usual loop over exponential integrators, `x` at the first level."""
    x, edm_sigmas = x.astype(np.float64), edm_sigmas.astype(np.float64)
    last, last_h = None, None
    for i in range(len(edm_sigmas) - 1):
        now, after = edm_sigmas[i], edm_sigmas[i + 1]
        x0 = clean(x, now)
        if after == 0:
            return x0
        if np.isinf(now):
            x = x0 + after * x
            continue
        h = math.log(now) - math.log(after)
        q = eta * h
        x = after / now * math.exp(-q) * x + (1 - math.exp(-h - q)) * x0
        if last is not None:
            slope = (x0 - last) * h / last_h
            if second_order == "midpoint":
                x = x + 0.5 * (1 - math.exp(-h - q)) * slope
            else:
                x = x + ((1 - math.exp(-h - q)) / (-h - q) + 1) * slope
        if eta:
            x = x + NOISE[i] * after * math.sqrt(1 - math.exp(-2 * q)) * noise_scale
        last, last_h = x0, h
    raise AssertionError("the last level is not 0")


@pytest.mark.parametrize("second_order", ["midpoint", "heun"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_2m_sde_is_the_textbook_loop(eta: float, second_order: str):
    options = {"eta": eta, "noise_scale": 0.9, "second_order": second_order}
    steps = dpmpp_2m_sde_steps(SCHEDULE, FAST, **options)
    expected = textbook_2m_sde(START * math.hypot(1, FAST[0]), FAST, **options)
    np.testing.assert_allclose(run(steps, FAST), expected, atol=2e-5)


def test_2m_sde_starts_at_infinity_without_history():
    steps = dpmpp_2m_sde_steps(SCHEDULE, FROM_INFINITY)
    assert steps.c_dx0[:2].tolist() == [0, 0]
    assert steps.c_dx0[2] > 0
    expected = textbook_2m_sde(START, FROM_INFINITY, eta=1, noise_scale=1, second_order="midpoint")
    np.testing.assert_allclose(run(steps, FROM_INFINITY), expected, atol=2e-5)


def test_official_start_shrinks_the_first_input():
    first = []

    def denoise(x: jax.Array, t: jax.Array) -> jax.Array:
        first.append(np.asarray(x))
        return x

    for official in (False, True):
        first.clear()
        steps = dpmpp_2m_sde_steps(SCHEDULE, [FAST[0], 0], official_start=official)
        solve(denoise, jnp.asarray(START), steps, RecordedNoise({}))
        factor = SCHEDULE.sigmas[899] if official else 1
        np.testing.assert_allclose(first[0], factor * START, rtol=1e-6)


def test_official_start_at_infinity_is_pure_noise():
    for make in (dpmpp_2m_sde_steps, heun_steps):
        assert make(SCHEDULE, FROM_INFINITY, official_start=True).start == 1


def test_network_is_called_at_integer_times():
    called = []

    def denoise(x: jax.Array, t: jax.Array) -> jax.Array:
        called.append(int(t))
        return x

    # 454.5 and 455.5 are halves: both are rounded to the even neighbour.
    edm_sigmas = np.append(SCHEDULE.edm_sigma(np.array([899, 455.5, 454.5, 90.2])), 0)
    steps = dpmpp_2m_sde_steps(SCHEDULE, edm_sigmas, eta=0)
    solve(denoise, jnp.asarray(START), steps, RecordedNoise({}))
    assert called == [899, 456, 454, 90]
    called.clear()
    steps = heun_steps(SCHEDULE, edm_sigmas[[0, 3, 4]])
    solve(denoise, jnp.asarray(START), steps, RecordedNoise({}))
    assert called == [899, 90, 90]


@pytest.mark.parametrize("second_order", ["midpoint", "heun"])
def test_2m_is_second_order(second_order: str):
    def error(count: int) -> float:
        edm_sigmas = np.append(np.geomspace(8, 0.2, count + 1), 0)
        steps = dpmpp_2m_sde_steps(SCHEDULE, edm_sigmas, eta=0, second_order=second_order)
        start = START * math.hypot(1, 8)
        expected = clean(flow(start, 8, 0.2), 0.2)
        return np.abs(run(steps, edm_sigmas) - expected).max()

    # Four in the limit; two would be first order.
    assert 2.8 < error(48) / error(96) < 5


def test_unknown_second_order_is_refused():
    with pytest.raises(ValueError, match="'euler'"):
        dpmpp_2m_sde_steps(SCHEDULE, FAST, second_order="euler")


def heun_levels(steps: HeunSteps) -> list[float]:
    """The levels that Heun's method asks for."""
    levels = []
    for now, after in zip(steps.churned, steps.edm_sigmas[1:], strict=True):
        levels.append(now)
        if after > 0 and np.isfinite(now):
            levels.append(after)
    return levels


def test_heun_is_second_order():
    def error(count: int) -> float:
        edm_sigmas = np.append(np.geomspace(8, 0.2, count + 1), 0)
        steps = heun_steps(SCHEDULE, edm_sigmas)
        start = START * math.hypot(1, 8)
        expected = clean(flow(start, 8, 0.2), 0.2)
        return np.abs(run(steps, heun_levels(steps)) - expected).max()

    assert 3 < error(6) / error(12) < 5.5


@pytest.mark.parametrize("churn", [0.0, 2.0, 40.0])
def test_heun_is_the_textbook_loop(churn: float):
    edm_sigmas = np.append(np.geomspace(8, 0.2, 7), 0)
    limits = {"churn_min": 0.3, "churn_max": 5.0}
    steps = heun_steps(SCHEDULE, edm_sigmas, churn=churn, noise_scale=0.9, **limits)
    x = START.astype(np.float64) * math.hypot(1, 8)
    for i in range(len(edm_sigmas) - 1):
        now, after = edm_sigmas[i], edm_sigmas[i + 1]
        gamma = min(churn / (len(edm_sigmas) - 1), math.sqrt(2) - 1) if 0.3 <= now <= 5 else 0
        churned = now * (1 + gamma)
        x = x + 0.9 * NOISE[i] * math.sqrt(churned**2 - now**2)
        slope = (x - clean(x, churned)) / churned
        euler = x + slope * (after - churned)
        if after:
            slope = (slope + (euler - clean(euler, after)) / after) / 2
            x = x + slope * (after - churned)
        else:
            x = euler
    np.testing.assert_allclose(run(steps, heun_levels(steps)), x, atol=2e-5)


def test_heun_starts_at_infinity():
    steps = heun_steps(SCHEDULE, FROM_INFINITY, churn=1)
    assert steps.c_noise[0] == 0
    after = MEAN + FROM_INFINITY[1] * START
    rest = heun_steps(SCHEDULE, FROM_INFINITY[1:])
    expected = run(rest, heun_levels(rest), after / math.hypot(1, FROM_INFINITY[1]))
    steps = heun_steps(SCHEDULE, FROM_INFINITY)
    np.testing.assert_allclose(run(steps, heun_levels(steps)), expected, atol=2e-5)


def test_ddim_follows_one_noise_to_the_clean_latents():
    """A denoiser that knows the answer: every network input is it plus the same noise."""
    x0, noise, times = normal(3, *SHAPE), normal(4, *SHAPE), even_times(50, 899)
    asked = []

    def denoise(x: jax.Array, t: jax.Array) -> jax.Array:
        expected = SCHEDULE.alphas[t] * x0 + SCHEDULE.sigmas[t] * noise
        np.testing.assert_allclose(x, expected, atol=2e-5)
        asked.append(int(t))
        return jnp.asarray(x0)

    start = SCHEDULE.alphas[899] * x0 + SCHEDULE.sigmas[899] * noise
    steps = ddim_steps(SCHEDULE, times)
    found = solve(denoise, jnp.asarray(start), steps, RecordedNoise({}))
    np.testing.assert_allclose(found, x0, atol=1e-6)
    assert asked == list(range(899, -1, -18))


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_is_the_textbook_formula(eta: float):
    times = even_times(10, 899)
    alphas = [*SCHEDULE.alphas[times.astype(int)].astype(float), 1.0]
    sigmas = [*SCHEDULE.sigmas[times.astype(int)].astype(float), 0.0]
    x = START.astype(np.float64)
    for i in range(10):
        alpha, sigma = alphas[i], sigmas[i]
        x0 = clean(x / alpha, sigma / alpha)
        noise = (x - alpha * x0) / sigma
        # Equation 16 of the paper, whose alphas are the squares of ours.
        beta = 1 - alpha**2 / alphas[i + 1] ** 2
        deviation = eta * math.sqrt((1 - alphas[i + 1] ** 2) / (1 - alpha**2) * beta)
        direction = math.sqrt(max(0, 1 - alphas[i + 1] ** 2 - deviation**2))
        x = alphas[i + 1] * x0 + direction * noise + deviation * NOISE[i]
    steps = ddim_steps(SCHEDULE, times, eta=eta)
    levels = SCHEDULE.sigmas[times.astype(int)] / SCHEDULE.alphas[times.astype(int)]
    np.testing.assert_allclose(run(steps, levels), x, atol=3e-5)


def test_progress_is_told_after_each_step():
    called = []
    steps = ddim_steps(SCHEDULE, even_times(3, 899))
    solve(
        lambda x, t: x,
        jnp.asarray(START),
        steps,
        RecordedNoise({}),
        lambda done, total: called.append((done, total)),
    )
    assert called == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_change_of_x0_enters_2m_sde_with_the_noise_unchanged(eta: float):
    """The solver's x is x0 + sigma / alpha noise: a change of x0 moves x by as much."""
    steps, change = dpmpp_2m_sde_steps(SCHEDULE, FAST, eta=eta), normal(5, *SHAPE)

    def step(refine: Refine | None) -> jax.Array:
        return linear_step(of_levels(FAST[:1]), steps, 0, START, None, NOISE[0], refine)[0]

    np.testing.assert_allclose(step(lambda x0, i: x0 + change) - step(None), change, atol=2e-5)
    assert (step(lambda x0, i: x0 + i) == step(None)).all()


def test_two_calls_per_step_refine_nothing():
    with pytest.raises(ValueError, match="one network call"):
        solve(lambda x, t: x, START, heun_steps(SCHEDULE, FAST), NOISE, refine=lambda x, i: x)
