"""Time steps of a sampler, as noise levels sigma / alpha that end in 0."""

from typing import Literal

import numpy as np

from venhancer_jax.diffusion.schedule import STEPS, Schedule
from venhancer_jax.errors import InputError

Mode = Literal["fast", "normal"]
MODES: tuple[Mode, ...] = ("fast", "normal")
Spacing = Literal["trailing", "leading", "linspace"]

# The fast mode spends 4 steps above this time and 11 below it.
_FAST_SPLIT = 500
# Fewer levels would not leave four whole times above it.
FAST_LEAST_LEVELS = 507


def fast_times(t_max: int) -> np.ndarray:
    """Computes the `[15]` times of the fast mode: four down to 500, then eleven to nearly 0."""
    coarse = t_max - np.arange(4) * (t_max - (_FAST_SPLIT - 1)) / 4
    fine = _FAST_SPLIT - np.arange(11) * (_FAST_SPLIT + 1) / 11
    return np.concatenate([coarse, fine]).astype(np.float32)


def even_times(steps: int, t_max: int, spacing: Spacing = "trailing") -> np.ndarray:
    """Computes `[steps]` evenly spaced times in [0, t_max], falling.

    Args:
      steps: number of times.
      t_max: noisiest time.
      spacing: `trailing` starts at `t_max`, `leading` ends at 0, `linspace` does both.
    """
    if spacing == "linspace":
        times = np.linspace(t_max, 0, steps)
    elif spacing == "leading":
        times = np.arange(steps)[::-1] * ((t_max + 1) / steps)
    else:
        times = t_max - np.arange(steps) * ((t_max + 1) / steps)
    return times.astype(np.float32)


def whole_stride_times(steps: int, offset: int = 0) -> np.ndarray:
    """Computes integer times `[steps]` that are a whole stride apart, falling to `offset`.

    The stride is `1000 // steps`: the `leading` spacing of diffusers.

    Args:
      steps: number of times.
      offset: last time.

    Raises:
      InputError: the first time would be beyond the schedule.
    """
    if not 1 <= steps <= STEPS:
        raise InputError(f"{steps} steps: expected from 1 to {STEPS}")
    stride = STEPS // steps
    first = stride * (steps - 1) + offset
    if first >= STEPS:
        raise InputError(
            f"{steps} steps that end at time {offset} start at {first}, beyond the noisiest time"
            f" {STEPS - 1}: expected fewer steps"
        )
    return first - stride * np.arange(steps)


def edm_sigmas_for(
    schedule: Schedule,
    *,
    solver: str,
    mode: Mode,
    steps: int,
    t_max: int,
    whole_times: bool = False,
) -> np.ndarray:
    """Computes the noise levels that a solver steps through.

    Args:
      schedule: noise schedule of the network.
      solver: name of the solver; `dpmpp_2m_sde` skips the last time, so that its last stride is
        longer.
      mode: `fast` always has 15 times, `normal` has `steps`.
      steps: number of steps of the normal mode.
      t_max: noisiest time.
      whole_times: whether to round times to integers, on which the network was trained.

    Returns:
      Noise levels sigma / alpha `[T + 1]` float32, falling, the last one 0; the first is infinite
      if `t_max` is 999.
    """
    drops_last = solver == "dpmpp_2m_sde"
    times = fast_times(t_max) if mode == "fast" else even_times(steps + drops_last, t_max)
    times = times[: len(times) - drops_last]
    edm_sigmas = schedule.edm_sigma(np.round(times) if whole_times else times)
    return np.append(edm_sigmas, np.float32(0))
