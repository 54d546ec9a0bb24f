"""Noise levels, times and steps of a `scheduler_config.json`, against recordings and diffusers."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from venhancer_jax.diffusion.guidance import PREDICTIONS, v_to_noise
from venhancer_jax.diffusion.noise import RecordedNoise
from venhancer_jax.diffusion.scheduler_config import SchedulerConfig, read_scheduler_config
from venhancer_jax.diffusion.solvers import solve
from venhancer_jax.errors import InputError

RECORDED = load_file(Path(__file__).parents[1] / "goldens/upscale_a_video/schedulers.safetensors")
PUBLISHED = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "prediction_type": "v_prediction",
}


def test_published_values_are_the_defaults(tmp_path: Path):
    path = tmp_path / "scheduler_config.json"
    path.write_text(json.dumps(PUBLISHED))
    assert read_scheduler_config(path) == SchedulerConfig()


@pytest.mark.parametrize("steps", [1, 4, 20, 30, 45, 50])
def test_times_are_the_recorded_ones(steps: int):
    assert SchedulerConfig().times(steps).tolist() == RECORDED[f"timesteps_{steps}"].tolist()


def test_strides_are_rounded_down():
    assert SchedulerConfig().times(15)[:2].tolist() == [66 * 14 + 1, 66 * 13 + 1]


def test_offset_moves_the_times():
    times = SchedulerConfig.from_dict(PUBLISHED | {"steps_offset": 0}).times(30)
    assert times.tolist() == RECORDED["timesteps_30_offset0"].tolist()


@pytest.mark.parametrize(
    ("steps", "to_one", "expected"),
    [
        (30, False, "the lowest level"),
        (30, True, "clean"),
        # The last time is 1 and its predecessor 0, which is a time of the schedule.
        (999, True, "the lowest level"),
    ],
)
def test_level_after_the_last_step(steps: int, to_one: bool, expected: str):
    config = SchedulerConfig(set_alpha_to_one=to_one)
    lowest = float(config.schedule.alphas[0])
    final = config.ddim_steps(steps).c_refined[-1]
    assert final == {"the lowest level": lowest, "clean": 1.0}[expected]


def test_refined_x0_enters_the_step_and_the_noise_is_that_of_the_network():
    """The formula of the steps, in float64: noise estimate from x and v, then a new x0."""
    config, rng = SchedulerConfig(), np.random.default_rng(0)
    steps, schedule = config.ddim_steps(5), config.schedule
    start, v = rng.standard_normal((2, 1, 2, 3, 3, 4))
    bumps = rng.standard_normal((5, 1, 2, 3, 3, 4))

    def denoise(x: jax.Array, t: np.integer) -> jax.Array:
        return schedule.alphas[t] * x - schedule.sigmas[t] * jnp.asarray(v, jnp.float32)

    def refine(x0: jax.Array, i: int) -> jax.Array:
        return x0 if i == 3 else x0 + jnp.asarray(bumps[i], jnp.float32)

    x, times = start, [*config.times(5), 0]
    for i in range(5):
        alpha, sigma = (float(levels[times[i]]) for levels in (schedule.alphas, schedule.sigmas))
        x0 = alpha * x - sigma * v + (i != 3) * bumps[i]
        noise = v_to_noise(x, v, alpha, sigma)
        x = schedule.alphas[times[i + 1]] * x0 + schedule.sigmas[times[i + 1]] * noise
    found = solve(denoise, jnp.asarray(start, jnp.float32), steps, RecordedNoise({}), refine=refine)
    np.testing.assert_allclose(found, x, atol=3e-6)


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_predictions_give_the_clean_latents(kind: str):
    schedule, rng = SchedulerConfig().schedule, np.random.default_rng(1)
    x0, noise = rng.standard_normal((2, 1, 2, 3, 3, 4))
    alpha, sigma = float(schedule.alphas[700]), float(schedule.sigmas[700])
    x = schedule.add_noise(x0, noise, 700)
    predicted = {"epsilon": noise, "sample": x0, "v_prediction": alpha * noise - sigma * x0}[kind]
    np.testing.assert_allclose(PREDICTIONS[kind](x, predicted, alpha, sigma), x0, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"beta_schedule": "squaredcos_cap_v2"}, ["squaredcos_cap_v2", "scaled_linear"]),
        ({"prediction_type": "flow"}, ["flow", "v_prediction, epsilon, sample"]),
        ({"num_train_timesteps": 4000}, ["4000", "1000"]),
        ({"steps_offset": -1}, ["-1", "0 to 999"]),
        ({"steps_offset": True}, ["true", "0 to 999"]),
        ({"set_alpha_to_one": "no"}, ['"no"', "true or false"]),
        ({"beta_end": 2}, ["beta_end = 2", "between 0 and 1"]),
        ({"clip_sample": True}, ["clip_sample = true", "false"]),
        ({"timestep_spacing": "trailing"}, ["trailing", "leading"]),
        ({"trained_betas": [0.1]}, ["trained_betas", "null"]),
    ],
)
def test_unknown_values_are_named(changes: dict, words: list[str]):
    with pytest.raises(InputError) as error:
        SchedulerConfig.from_dict(PUBLISHED | changes, name="folder/scheduler_config.json")
    for word in ("folder/scheduler_config.json", next(iter(changes)), *words):
        assert word in str(error.value)


def test_a_scheduler_that_only_adds_noise_may_sample_otherwise():
    values = {**PUBLISHED, "clip_sample": True, "prediction_type": "epsilon"}
    assert SchedulerConfig.from_dict(values, sampling=False).schedule is SchedulerConfig().schedule


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_file_that_is_none(tmp_path: Path, content: str):
    path = tmp_path / "scheduler_config.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"is no scheduler_config\.json"):
        read_scheduler_config(path)
    with pytest.raises(InputError, match="no such file"):
        read_scheduler_config(tmp_path / "missing.json")


@pytest.mark.parametrize("steps", [0, 1000, 1001])
def test_steps_beyond_the_schedule(steps: int):
    with pytest.raises(InputError, match=f"{steps} steps"):
        SchedulerConfig().times(steps)
