"""Solvers of the reverse process, as pure functions over step arrays computed beforehand.

A solver sees the network through `denoise(x, t) -> x0`: clean latents from the network's own input
at a whole time step. Two families cover all: in `LinearSteps` the next latents are a weighted sum
of the present ones, of x0, of its change since the last step and of noise (DPM-Solver++(2M) SDE and
DDIM); `HeunSteps` asks the network twice a step.
"""

import dataclasses
import itertools
from collections.abc import Callable

import jax
import numpy as np

from venhancer_jax.diffusion.noise import NoiseSource
from venhancer_jax.diffusion.schedule import Schedule

Denoise = Callable[[jax.Array, np.integer], jax.Array]
OnStep = Callable[[int, int], None]
STREAM = "solver"


@dataclasses.dataclass(frozen=True, eq=False)
class LinearSteps:
    """Step arrays `[T]` of a linear multistep solver.

    Attributes:
      start: factor of the noised latents that begin the process.
      t: whole time step for the network.
      to_network: factor of the latents on their way into the network.
      keep: weight of the present latents in the next ones.
      clean: weight of x0.
      change: weight of x0 minus the last x0.
      noise: weight of fresh noise.
    """

    start: float
    t: np.ndarray
    to_network: np.ndarray
    keep: np.ndarray
    clean: np.ndarray
    change: np.ndarray
    noise: np.ndarray

    def __len__(self) -> int:
        return len(self.t)

    @property
    def calls(self) -> tuple[int, ...]:
        """Time step of every network call, in order."""
        return tuple(int(t) for t in self.t)


@dataclasses.dataclass(frozen=True, eq=False)
class HeunSteps:
    """Step arrays `[T]` of Heun's method.

    Attributes:
      start: factor of the noised latents that begin the process.
      edm_sigmas: `[T + 1]` noise levels, the last one 0, the first one possibly infinite.
      churned: noise level after fresh noise is added.
      noise: weight of that noise.
      t: whole time step of the churned level.
      t_next: whole time step of the next level.
    """

    start: float
    edm_sigmas: np.ndarray
    churned: np.ndarray
    noise: np.ndarray
    t: np.ndarray
    t_next: np.ndarray

    def __len__(self) -> int:
        return len(self.t)

    @property
    def calls(self) -> tuple[int, ...]:
        """Time step of every network call, in order: one or two for each step."""
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
    """DPM-Solver++(2M) SDE in the space where noise has level kappa (arXiv 2211.01095).

    Args:
      schedule: of the network.
      edm_sigmas: `[T + 1]`, falling, the last one 0.
      eta: 0 for an ordinary, 1 for the stochastic differential equation.
      noise_scale: factor of the fresh noise.
      second_order: `midpoint` or `heun`.
      official_start: begin at `kappa * x_t` like the published program, where the network first
        sees `sigma * x_t`, instead of `x_t` itself.
    """
    if second_order not in ("midpoint", "heun"):
        raise ValueError(f"second_order {second_order!r}: expected 'midpoint' or 'heun'")
    steps = len(edm_sigmas) - 1
    edm_sigmas = np.asarray(edm_sigmas, np.float64)
    keep, clean, change, noise = np.zeros((4, steps))
    last_h = None
    for i, (now, after) in enumerate(itertools.pairwise(edm_sigmas)):
        if after == 0:
            clean[i] = 1
        elif np.isinf(now):
            keep[i], clean[i] = after, 1
        else:
            h = np.log(now / after)
            decay = -np.expm1(-(1 + eta) * h)
            keep[i], clean[i] = after / now * np.exp(-eta * h), decay
            noise[i] = after * np.sqrt(-np.expm1(-2 * eta * h)) * noise_scale
            if last_h is not None:
                heun = 1 - decay / ((1 + eta) * h)
                change[i] = (decay / 2 if second_order == "midpoint" else heun) * h / last_h
            last_h = h
    return LinearSteps(
        start=_start(edm_sigmas[0], official_start),
        t=_whole_times(schedule, edm_sigmas[:-1]),
        to_network=_to_network(edm_sigmas[:-1]),
        keep=keep,
        clean=clean,
        change=change,
        noise=noise,
    )


def ddim_steps(schedule: Schedule, times: np.ndarray, *, eta: float = 0.0) -> LinearSteps:
    """DDIM (arXiv 2010.02502), which the paper samples with in 50 steps.

    Args:
      schedule: of the network.
      times: `[T]`, falling; rounded to whole steps.
      eta: 0 is deterministic, 1 as noisy as the forward process.
    """
    t = np.round(times).astype(np.int32)
    alpha, sigma = schedule.alphas[t].astype(np.float64), schedule.sigmas[t].astype(np.float64)
    alpha_next, sigma_next = np.append(alpha[1:], 1.0), np.append(sigma[1:], 0.0)
    noise = eta * sigma_next / sigma * np.sqrt(1 - (alpha / alpha_next) ** 2)
    keep = np.sqrt(sigma_next**2 - noise**2) / sigma
    return LinearSteps(
        start=1.0,
        t=t,
        to_network=np.ones(len(t)),
        keep=keep,
        clean=alpha_next - keep * alpha,
        change=np.zeros(len(t)),
        noise=noise,
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
    """Heun's method (arXiv 2206.00364, algorithm 2).

    Args:
      schedule: of the network.
      edm_sigmas: `[T + 1]`, falling, the last one 0.
      churn: total of the noise that is added on the way.
      churn_min: lowest level at which noise is added.
      churn_max: highest such level.
      noise_scale: factor of the fresh noise.
      official_start: as of `dpmpp_2m_sde_steps`.
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
        noise=finite * np.sqrt((1 + gamma) ** 2 - 1) * noise_scale,
        t=_whole_times(schedule, churned),
        t_next=_whole_times(schedule, edm_sigmas[1:]),
    )


def solve(
    denoise: Denoise,
    noised: jax.Array,
    steps: LinearSteps | HeunSteps,
    noise: NoiseSource,
    on_step: OnStep | None = None,
) -> jax.Array:
    """Runs a solver from noised latents to clean ones.

    Args:
      denoise: `(x, t) -> x0` with `t` a whole time step.
      noised: latents at the first time, `[B, F, h, w, C]`.
      steps: of any solver.
      noise: source of the fresh noise.
      on_step: told `(steps done, steps in all)` after each.

    Returns:
      `[B, F, h, w, C]`.
    """
    x, last = noised * np.float32(steps.start), None
    for i in range(len(steps)):
        fresh = noise(STREAM, i, x.shape) if steps.noise[i] else None
        if isinstance(steps, LinearSteps):
            x, last = linear_step(denoise, steps, i, x, last, fresh)
        else:
            x, last = heun_step(denoise, steps, i, x, last, fresh)
        if on_step is not None:
            x.block_until_ready()  # the program would run ahead of what is told
            on_step(i + 1, len(steps))
    return x


def linear_step(
    denoise: Denoise,
    steps: LinearSteps,
    i: int,
    x: jax.Array,
    last: jax.Array | None,
    fresh: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    """Step `i`: the next latents, and x0 for the step after."""
    x0 = denoise(x * np.float32(steps.to_network[i]), steps.t[i])
    x = np.float32(steps.keep[i]) * x + np.float32(steps.clean[i]) * x0
    if last is not None and steps.change[i]:
        x = x + np.float32(steps.change[i]) * (x0 - last)
    if fresh is not None:
        x = x + np.float32(steps.noise[i]) * fresh
    return x, x0


def heun_step(
    denoise: Denoise,
    steps: HeunSteps,
    i: int,
    x: jax.Array,
    last: jax.Array | None,
    fresh: jax.Array | None,
) -> tuple[jax.Array, None]:
    """Step `i`: an Euler step, corrected by the slope at its end."""
    del last
    now, after = steps.churned[i], steps.edm_sigmas[i + 1]
    if fresh is not None:
        x = x + np.float32(steps.noise[i]) * fresh
    x0 = denoise(x * np.float32(_to_network(now)), steps.t[i])
    if np.isinf(now):
        return x0 + np.float32(after) * x, None
    slope = (x - x0) / np.float32(now)
    euler = x + slope * np.float32(after - now)
    if after == 0:
        return euler, None
    x0 = denoise(euler * np.float32(_to_network(after)), steps.t_next[i])
    slope = (slope + (euler - x0) / np.float32(after)) / 2
    return x + slope * np.float32(after - now), None


def _start(edm_sigma: float, official: bool) -> float:
    """An infinite level is pure noise, which is carried as it is."""
    if np.isinf(edm_sigma):
        return 1.0
    return edm_sigma if official else np.sqrt(1 + edm_sigma**2)


def _to_network(edm_sigma: np.ndarray) -> np.ndarray:
    """The network sees latents of unit variance."""
    return np.where(np.isinf(edm_sigma), 1.0, 1 / np.sqrt(1 + np.square(edm_sigma)))


def _whole_times(schedule: Schedule, edm_sigmas: np.ndarray) -> np.ndarray:
    # A level carries its time to 1e-4 only: halves must be halves again before they are rounded.
    return np.round(np.round(schedule.time(edm_sigmas), 3)).astype(np.int32)
