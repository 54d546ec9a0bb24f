"""Schedulers as checkpoints of diffusers describe them: `scheduler_config.json`."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from venhancer_jax.diffusion.guidance import PREDICTIONS
from venhancer_jax.diffusion.schedule import STEPS, Schedule, scaled_linear_schedule
from venhancer_jax.diffusion.solvers import LinearSteps, ddim_steps
from venhancer_jax.diffusion.timesteps import whole_stride_times
from venhancer_jax.errors import InputError

# The values of a file that are supported; a key that is missing has the default of diffusers.
_NOISE_LEVELS = {"num_train_timesteps": STEPS, "beta_schedule": "scaled_linear"}
_SAMPLING = {
    "clip_sample": False,
    "thresholding": False,
    "rescale_betas_zero_snr": False,
    "timestep_spacing": "leading",
}
_DEFAULTS = {
    "num_train_timesteps": STEPS,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "clip_sample": True,
    "thresholding": False,
    "rescale_betas_zero_snr": False,
    "timestep_spacing": "leading",
    "prediction_type": "epsilon",
    "steps_offset": 0,
    "set_alpha_to_one": True,
}


@dataclasses.dataclass(frozen=True)
class SchedulerConfig:
    """Noise levels and time steps that a network was trained and is sampled with.

    Attributes:
      beta_start: variance of the noise that the first step adds.
      beta_end: variance of the noise that the last step adds.
      prediction_type: what the network predicts, a key of `PREDICTIONS`.
      steps_offset: time of the cleanest step.
      set_alpha_to_one: whether the latents after the last step are clean; by default their noise
        level is the schedule's lowest.
    """

    beta_start: float = 1e-4
    beta_end: float = 0.02
    prediction_type: str = "v_prediction"
    steps_offset: int = 1
    set_alpha_to_one: bool = False

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], *, name: str = "scheduler", sampling: bool = True
    ) -> "SchedulerConfig":
        """Reads the values of a `scheduler_config.json`.

        Args:
          values: content of the file; other keys than those of noise levels and of deterministic
            sampling are ignored.
          name: name or path of the file, for errors.
          sampling: whether values of the sampling are read too, which a scheduler that only adds
            noise may have otherwise.

        Raises:
          InputError: a value that is not supported.
        """
        found = _DEFAULTS | {key: values[key] for key in _DEFAULTS if key in values}
        for key, value in (_NOISE_LEVELS | (_SAMPLING if sampling else {})).items():
            _expect(name, key, found[key], found[key] == value, json.dumps(value))
        _expect(
            name, "trained_betas", found["trained_betas"], found["trained_betas"] is None, "null"
        )
        for key in ("beta_start", "beta_end"):
            valid = _is_number(found[key]) and 0 < found[key] < 1
            _expect(name, key, found[key], valid, "a number between 0 and 1")
        levels = cls(beta_start=float(found["beta_start"]), beta_end=float(found["beta_end"]))
        if not sampling:
            return levels
        kind, offset = found["prediction_type"], found["steps_offset"]
        expected = f"one of {', '.join(PREDICTIONS)}"
        _expect(name, "prediction_type", kind, kind in tuple(PREDICTIONS), expected)
        valid = isinstance(offset, int) and not isinstance(offset, bool) and 0 <= offset < STEPS
        _expect(name, "steps_offset", offset, valid, f"an integer from 0 to {STEPS - 1}")
        to_one = found["set_alpha_to_one"]
        _expect(name, "set_alpha_to_one", to_one, isinstance(to_one, bool), "true or false")
        return dataclasses.replace(
            levels,
            prediction_type=kind,
            steps_offset=offset,
            set_alpha_to_one=to_one,
        )

    @classmethod
    def sd21(cls) -> "SchedulerConfig":
        """Returns the scheduler of Stable Diffusion 2.1, which predicts v."""
        return cls(beta_start=0.00085, beta_end=0.012)

    @property
    def schedule(self) -> Schedule:
        """Returns the noise schedule."""
        return scaled_linear_schedule(self.beta_start, self.beta_end)

    def times(self, steps: int) -> np.ndarray:
        """Computes the integer times `[steps]` of a sampler, falling.

        Raises:
          InputError: more steps than the schedule has times.
        """
        return whole_stride_times(steps, self.steps_offset)

    def ddim_steps(self, steps: int) -> LinearSteps:
        """Computes the coefficients of deterministic DDIM.

        Args:
          steps: number of steps.

        Raises:
          InputError: more steps than the schedule has times.
        """
        times, schedule = self.times(steps), self.schedule
        after = int(times[-1]) - STEPS // steps
        if after < 0 and self.set_alpha_to_one:
            return ddim_steps(schedule, times)
        t = max(after, 0)
        final = float(schedule.alphas[t]), float(schedule.sigmas[t])
        return ddim_steps(schedule, times, final=final)


def read_scheduler_config(path: epath.PathLike, *, sampling: bool = True) -> SchedulerConfig:
    """Reads a `scheduler_config.json`.

    Args:
      path: path of the file.
      sampling: whether values of the sampling are read, which a scheduler that only adds noise may
        have otherwise.

    Raises:
      InputError: no such file, no JSON object, or a value that is not supported.
    """
    try:
        values = json.loads(epath.Path(path).read_text())
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file. Expected the scheduler_config.json of the checkpoint"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no scheduler_config.json ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} is no scheduler_config.json: expected a JSON object")
    return SchedulerConfig.from_dict(values, name=str(path), sampling=sampling)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _expect(name: str, key: str, value: Any, valid: bool, expected: str) -> None:
    if not valid:
        raise InputError(
            f"{name}: {key} = {json.dumps(value)}, expected {expected}. Use the"
            " scheduler_config.json that was published with the checkpoint"
        )
