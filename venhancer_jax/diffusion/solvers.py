"""Solvers of the reverse process, as pure functions over precomputed step arrays.

A solver calls the network as `denoise(x, t) -> x0`, with latents of unit variance at an integer
time step. There are two families: `LinearSteps` (DPM-Solver++(2M) SDE and DDIM) with one network
call per step, whose result enters the update linearly; `HeunSteps` with two.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from venhancer_jax.diffusion.noise import NoiseSource
from venhancer_jax.diffusion.schedule import Schedule

Denoise = Callable[[jax.Array, np.integer], jax.Array]
Refine = Callable[[jax.Array, int], jax.Array]
Adjust = Callable[[jax.Array, int], jax.Array]
OnStep = Callable[[int, int], None]
STREAM = "solver"


@dataclasses.dataclass(frozen=True, eq=False)
class LinearSteps:
    """Coefficients `[T]` of a linear multistep solver.

    Step i computes x0 = denoise(c_in[i] x, t[i]) and then
    x = c_x[i] x + c_x0[i] x0 + c_dx0[i] (x0 - last x0) + c_noise[i] noise
    + c_refined[i] (refined x0 - x0), the last term where x0 is refined.

    Attributes:
      start: factor of the noised latents at the first time, which gives the first x.
      t: integer time steps for the network.
      c_in: factors of x in the input of the network.
      c_x: coefficients of x.
      c_x0: coefficients of x0.
      c_dx0: coefficients of the difference of x0 from that of the last step.
      c_noise: coefficients of fresh standard normal noise.
      c_refined: signal levels after each step: coefficients of x0 where the noise in x is known,
        hence those of a change of x0 that leaves the estimate of the noise as it was.
    """

    start: float
    t: np.ndarray
    c_in: np.ndarray
    c_x: np.ndarray
    c_x0: np.ndarray
    c_dx0: np.ndarray
    c_noise: np.ndarray
    c_refined: np.ndarray

    def __len__(self) -> int:
        return len(self.t)

    @property
    def calls(self) -> tuple[int, ...]:
        """Returns the time step of every network call, in order."""
        return tuple(int(t) for t in self.t)


@dataclasses.dataclass(frozen=True, eq=False)
class HeunSteps:
    """Coefficients `[T]` of Heun's method.

    Attributes:
      start: factor of the noised latents at the first time, which gives the first x.
      edm_sigmas: noise levels sigma / alpha `[T + 1]`, the last one 0, the first one possibly
        infinite.
      churned: noise levels after fresh noise is added.
      c_noise: coefficients of the fresh noise.
      t: integer time steps of the churned levels.
      t_next: integer time steps of the next levels.
    """

    start: float
    edm_sigmas: np.ndarray
    churned: np.ndarray
    c_noise: np.ndarray
    t: np.ndarray
    t_next: np.ndarray

    def __len__(self) -> int:
        return len(self.t)

    @property
    def calls(self) -> tuple[int, ...]:
        """Returns the time step of every network call, in order: one or two per step."""
        times = []
        for i, t in enumerate(self.t):
            times.append(int(t))
            if np.isfinite(self.churned[i]) and self.edm_sigmas[i + 1] > 0:
                times.append(int(self.t_next[i]))
        return tuple(times)


def dpmpp_2m_sde_steps(
    schedule: Schedule,
    edm_sigmas: np.ndarray,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
    second_order: str = "midpoint",
    official_start: bool = False,
) -> LinearSteps:
    """Computes the coefficients of DPM-Solver++(2M) SDE (arXiv 2211.01095, algorithm 2).

    The solver works on latents divided by alpha, whose noise has the level sigma / alpha.

    Args:
      schedule: noise schedule of the network.
      edm_sigmas: noise levels sigma / alpha `[T + 1]`, falling, the last one 0.
      eta: 0 for the ordinary, 1 for the stochastic differential equation.
      noise_scale: factor of the fresh noise.
      second_order: formula of the second-order term, `midpoint` or `heun`.
      official_start: whether to start at `sigma / alpha * x_t` like the reference implementation,
        whose network is first called on `sigma * x_t`, instead of on `x_t`.

    Raises:
      ValueError: unknown `second_order`.
    """
    if second_order not in ("midpoint", "heun"):
        raise ValueError(f"second_order {second_order!r}: expected 'midpoint' or 'heun'")
    steps = len(edm_sigmas) - 1
    edm_sigmas = np.asarray(edm_sigmas, np.float64)
    c_x, c_x0, c_dx0, c_noise = np.zeros((4, steps))
    last_h = None
    for i, (now, after) in enumerate(itertools.pairwise(edm_sigmas)):
        if after == 0:
            c_x0[i] = 1
        elif np.isinf(now):
            c_x[i], c_x0[i] = after, 1
        else:
            h = np.log(now / after)
            decay = -np.expm1(-(1 + eta) * h)
            c_x[i], c_x0[i] = after / now * np.exp(-eta * h), decay
            c_noise[i] = after * np.sqrt(-np.expm1(-2 * eta * h)) * noise_scale
            if last_h is not None:
                heun = 1 - decay / ((1 + eta) * h)
                c_dx0[i] = (decay / 2 if second_order == "midpoint" else heun) * h / last_h
            last_h = h
    return LinearSteps(
        start=_start(edm_sigmas[0], official_start),
        t=_integer_times(schedule, edm_sigmas[:-1]),
        c_in=_input_scale(edm_sigmas[:-1]),
        c_x=c_x,
        c_x0=c_x0,
        c_dx0=c_dx0,
        c_noise=c_noise,
        c_refined=np.ones(steps),
    )


def ddim_steps(
    schedule: Schedule,
    times: np.ndarray,
    *,
    eta: float = 0.0,
    final: tuple[float, float] = (1.0, 0.0),
) -> LinearSteps:
    """Computes the coefficients of DDIM (arXiv 2010.02502, equation 16).

    Args:
      schedule: noise schedule of the network.
      times: time steps `[T]`, falling, rounded to integers.
      eta: 0 for a deterministic process, 1 for one as noisy as the forward process.
      final: signal level and noise level after the last step, clean by default.
    """
    t = np.round(times).astype(np.int32)
    alpha, sigma = schedule.alphas[t].astype(np.float64), schedule.sigmas[t].astype(np.float64)
    alpha_next, sigma_next = np.append(alpha[1:], final[0]), np.append(sigma[1:], final[1])
    c_noise = eta * sigma_next / sigma * np.sqrt(1 - (alpha / alpha_next) ** 2)
    c_x = np.sqrt(sigma_next**2 - c_noise**2) / sigma
    return LinearSteps(
        start=1.0,
        t=t,
        c_in=np.ones(len(t)),
        c_x=c_x,
        c_x0=alpha_next - c_x * alpha,
        c_dx0=np.zeros(len(t)),
        c_noise=c_noise,
        c_refined=alpha_next,
    )


def heun_steps(
    schedule: Schedule,
    edm_sigmas: np.ndarray,
    *,
    churn: float = 0.0,
    churn_min: float = 0.0,
    churn_max: float = np.inf,
    noise_scale: float = 1.0,
    official_start: bool = False,
) -> HeunSteps:
    """Computes the coefficients of Heun's method (arXiv 2206.00364, algorithm 2).

    Args:
      schedule: noise schedule of the network.
      edm_sigmas: noise levels sigma / alpha `[T + 1]`, falling, the last one 0.
      churn: amount of noise added over all steps, `S_churn` of the paper.
      churn_min: lowest noise level at which noise is added.
      churn_max: highest noise level at which noise is added.
      noise_scale: factor of the fresh noise.
      official_start: whether to start at `sigma / alpha * x_t` like the reference implementation,
        whose network is first called on `sigma * x_t`, instead of on `x_t`.
    """
    edm_sigmas = np.asarray(edm_sigmas, np.float64)
    now, steps = edm_sigmas[:-1], len(edm_sigmas) - 1
    churns = (now >= churn_min) & (now <= churn_max) & np.isfinite(now)
    gamma = np.where(churns, min(churn / steps, np.sqrt(2) - 1), 0.0)
    churned = now * (1 + gamma)
    finite = np.where(np.isfinite(now), now, 0)
    return HeunSteps(
        start=_start(edm_sigmas[0], official_start),
        edm_sigmas=edm_sigmas,
        churned=churned,
        c_noise=finite * np.sqrt((1 + gamma) ** 2 - 1) * noise_scale,
        t=_integer_times(schedule, churned),
        t_next=_integer_times(schedule, edm_sigmas[1:]),
    )


def solve(
    denoise: Denoise,
    noised: Any,
    steps: LinearSteps | HeunSteps,
    noise: NoiseSource,
    on_step: OnStep | None = None,
    *,
    refine: Refine | None = None,
    adjust: Adjust | None = None,
    store: Callable[[Any], Any] | None = None,
) -> Any:
    """Runs a solver from noised to clean latents.

    Args:
      denoise: network, `(x, t) -> x0` with an integer time step.
      noised: latents at the first time step, `[B, F, h, w, C]`.
      steps: coefficients of a solver.
      noise: source of the fresh noise.
      on_step: callback after each step, called with the number of steps done and of all steps.
      refine: function from x0 and the index of the step to the x0 that enters the step, while the
        estimate of the noise keeps the x0 of the network; it returns its argument where it changes
        nothing. For solvers with one network call per step.
      adjust: function from the latents that a step has computed and the index of the step to those
        that the next step starts from, or that are returned.
      store: function that stores latents which are computed when they are read, after each step.

    Returns:
      Clean latents `[B, F, h, w, C]`.

    Raises:
      ValueError: `refine` with a solver of two network calls per step.
    """
    if refine is not None and not isinstance(steps, LinearSteps):
        raise ValueError("refine: expected a solver with one network call per step")
    x, last = noised * np.float32(steps.start), None
    for i in range(len(steps)):
        fresh = noise(STREAM, i, x.shape) if steps.c_noise[i] else None
        if isinstance(steps, LinearSteps):
            x, last = linear_step(denoise, steps, i, x, last, fresh, refine)
        else:
            x, last = heun_step(denoise, steps, i, x, last, fresh)
        if adjust is not None:
            x = adjust(x, i)
        if store is not None:
            x = store(x)
        if on_step is not None:
            x.block_until_ready()  # otherwise the callback would run ahead of the computation
            on_step(i + 1, len(steps))
    return x


def linear_step(
    denoise: Denoise,
    steps: LinearSteps,
    i: int,
    x: jax.Array,
    last: jax.Array | None,
    fresh: jax.Array | None,
    refine: Refine | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Runs step `i` of a linear multistep solver.

    Args:
      denoise: network, `(x, t) -> x0` with an integer time step.
      steps: coefficients of the solver.
      i: index of the step.
      x: latents `[B, F, h, w, C]`.
      last: x0 of the last step; None in the first one.
      fresh: noise `[B, F, h, w, C]`; None where its coefficient is 0.
      refine: function from x0 and the index of the step to the x0 that enters the step.

    Returns:
      The next latents, and the x0 of the network.
    """
    x0 = denoise(x * np.float32(steps.c_in[i]), steps.t[i])
    x = np.float32(steps.c_x[i]) * x + np.float32(steps.c_x0[i]) * x0
    if last is not None and steps.c_dx0[i]:
        x = x + np.float32(steps.c_dx0[i]) * (x0 - last)
    if fresh is not None:
        x = x + np.float32(steps.c_noise[i]) * fresh
    refined = x0 if refine is None else refine(x0, i)
    if refined is not x0:
        x = x + np.float32(steps.c_refined[i]) * (refined - x0)
    return x, x0


def heun_step(
    denoise: Denoise,
    steps: HeunSteps,
    i: int,
    x: jax.Array,
    last: jax.Array | None,
    fresh: jax.Array | None,
) -> tuple[jax.Array, None]:
    """Runs step `i` of Heun's method: an Euler step, corrected by the slope at its end.

    Args:
      denoise: network, `(x, t) -> x0` with an integer time step.
      steps: coefficients of the solver.
      i: index of the step.
      x: latents `[B, F, h, w, C]`.
      last: x0 of the last step, unused.
      fresh: noise `[B, F, h, w, C]`; None where its coefficient is 0.

    Returns:
      The next latents, and None in place of an x0 for the next step.
    """
    del last
    now, after = steps.churned[i], steps.edm_sigmas[i + 1]
    if fresh is not None:
        x = x + np.float32(steps.c_noise[i]) * fresh
    x0 = denoise(x * np.float32(_input_scale(now)), steps.t[i])
    if np.isinf(now):
        return x0 + np.float32(after) * x, None
    slope = (x - x0) / np.float32(now)
    euler = x + slope * np.float32(after - now)
    if after == 0:
        return euler, None
    x0 = denoise(euler * np.float32(_input_scale(after)), steps.t_next[i])
    slope = (slope + (euler - x0) / np.float32(after)) / 2
    return x + slope * np.float32(after - now), None


def _start(edm_sigma: float, official: bool) -> float:
    """Computes the factor that takes x_t to x; pure noise, at an infinite level, stays itself."""
    if np.isinf(edm_sigma):
        return 1.0
    return edm_sigma if official else np.sqrt(1 + edm_sigma**2)


def _input_scale(edm_sigma: np.ndarray) -> np.ndarray:
    """Computes the factor that gives latents of a noise level unit variance."""
    return np.where(np.isinf(edm_sigma), 1.0, 1 / np.sqrt(1 + np.square(edm_sigma)))


def _integer_times(schedule: Schedule, edm_sigmas: np.ndarray) -> np.ndarray:
    # The time of a level is exact to 1e-4 only: restore halves before they are rounded.
    return np.round(np.round(schedule.time(edm_sigmas), 3)).astype(np.int32)
