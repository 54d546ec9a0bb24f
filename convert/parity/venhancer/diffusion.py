"""Replays of schedule, solvers, guidance and the windowed sampler on toy networks."""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.convert.parity.case import BLOCK, NETWORK, Case, compare, equal, equal_tables
from venhancer_jax.convert.parity.recording import Recording, channels_last
from venhancer_jax.diffusion import guidance
from venhancer_jax.diffusion.noise import RecordedNoise
from venhancer_jax.diffusion.schedule import Schedule, cosine_interpolated_schedule
from venhancer_jax.diffusion.solvers import (
    STREAM,
    HeunSteps,
    LinearSteps,
    dpmpp_2m_sde_steps,
    heun_steps,
    solve,
)
from venhancer_jax.diffusion.timesteps import edm_sigmas_for, even_times, fast_times
from venhancer_jax.models.layers.embeddings import sinusoidal_embedding
from venhancer_jax.pipelines.pieces import Box, blend, faded_spans, gaussian, whole_span
from venhancer_jax.pipelines.venhancer import official

# Key frames of the two videos that the single guided step was recorded with.
_DENOISE_MASK = np.array([[0, -1, 1], [0, 1, -1]])


def replay_embedding(recording: Recording) -> list[Case]:
    """Replays sinusoidal embeddings of several widths."""
    t = jnp.asarray(recording.tensors["t"])
    return [
        compare(f"{recording.name}/{name}", sinusoidal_embedding(t, int(name[3:])), table, BLOCK)
        for name, table in recording.tensors.items()
        if name.startswith("dim")
    ]


def replay_schedule(recording: Recording) -> list[Case]:
    """Replays the schedule: tables, noise levels of every sampler, forward process, times."""
    schedule, tensors = cosine_interpolated_schedule(), recording.tensors
    ours: dict[str, Any] = {
        "alphas": schedule.alphas,
        "sigmas": schedule.sigmas,
        "log_k_sigma": schedule.log_edm_sigmas,
        "fast_timesteps_tmax899": fast_times(899),
        "t_grid_sigma": schedule.edm_sigma(tensors["t_grid"]),
        "t_grid_back": schedule.time(tensors["t_grid_sigma"]),
    }
    for name in tensors:
        if name.startswith("sig/"):
            ours[name] = _edm_sigmas(schedule, name.removeprefix("sig/"))
        elif match := re.fullmatch(r"diffuse/t(-?\d+)", name):
            t = int(match.group(1))
            noise = tensors["diffuse/noise"] * schedule.sigmas[t]
            ours[name] = schedule.alphas[t] * tensors["diffuse/x0"] + noise
    return [compare(f"{recording.name}/{n}", x, tensors[n], BLOCK) for n, x in ours.items()]


def replay_timesteps(recording: Recording) -> list[Case]:
    """Replays the integer time steps that the network is called with."""
    schedule, table = cosine_interpolated_schedule(), recording.info["table"]
    ours, recorded = {}, {}
    for name, facts in table.items():
        edm_sigmas = _edm_sigmas(schedule, name)
        ours[name] = heun_steps(schedule, edm_sigmas).t.tolist()
        recorded[name] = facts["model_t"][: len(edm_sigmas) - 1]
    return [equal_tables(recording.path.stem, ours, recorded)]


def replay_solvers(recording: Recording) -> list[Case]:
    """Replays solvers on a toy denoiser: every input of the denoiser and the result."""
    schedule, tensors, cases = cosine_interpolated_schedule(), recording.tensors, []
    for name in sorted({key.split("/")[0] for key in tensors if "/" in key}):
        edm_sigmas = tensors[f"{name}/sigmas"]
        steps = _toy_steps(schedule, name, edm_sigmas)
        noise = tensors[f"{name}/noise"]
        if isinstance(steps, LinearSteps):
            # A row was recorded for every use; an infinite start uses none.
            noise = np.concatenate([np.zeros_like(noise[: len(steps) - 1 - len(noise)]), noise])
        levels, inputs = _levels(steps, edm_sigmas), []

        def denoise(
            x: jax.Array, t: np.integer, levels: Iterator[float] = levels, inputs: list = inputs
        ) -> jax.Array:
            level = next(levels)
            inputs.append(x)
            return 0.3 * x + 0.1 * np.float32(np.sin(level) if np.isfinite(level) else 1)

        start = jnp.asarray(tensors["noise0"])
        out = solve(denoise, start, steps, RecordedNoise({STREAM: noise}))
        label = f"{recording.name}/{name}"
        cases.append(compare(f"{label}/out", out, tensors[f"{name}/out"], BLOCK))
        recorded = tensors[f"{name}/model_inputs"]
        cases.append(compare(f"{label}/model_inputs", np.stack(inputs), recorded, BLOCK))
    return cases


def replay_sampler(recording: Recording) -> list[Case]:
    """Replays the sampler on a toy network: guidance, rescaling, windows, blending."""
    schedule, tensors, cases = cosine_interpolated_schedule(), recording.tensors, []
    for name, facts in recording.companion().items():
        frames, interpolation = facts["F"], facts["interp"]
        edm_sigmas = edm_sigmas_for(
            schedule,
            solver=facts["solver"],
            mode=facts["mode"],
            steps=facts["steps"],
            t_max=899,
        )
        make = heun_steps if facts["solver"] == "heun" else dpmpp_2m_sde_steps
        steps = make(schedule, edm_sigmas, official_start=True)
        windows = official.time_windows(frames, interpolation)
        mask = official.key_index((frames - 1) // (interpolation + 1) + 1, interpolation)
        calls, x0s = [], []

        def of_window(
            x: jax.Array,
            t: np.integer,
            boxes: Sequence[Box],
            facts: dict = facts,
            mask: list = mask,
            calls: list = calls,
        ) -> jax.Array:
            span = boxes[0].frames
            local = np.array(mask[span.start : span.stop])
            scale = facts["guide_scale"]
            calls.extend([int(t)] * (1 if scale == 1 else 2))
            v = toy_network(x, t, tensors["y"], local)
            if scale != 1:
                unconditional = toy_network(x, t, tensors["ny"], local)
                v = guidance.guide(v, unconditional, scale, facts["guide_rescale"])
            return guidance.v_to_x0(x, v, schedule.alphas[t], schedule.sigmas[t])

        boxes = _boxes(windows, tensors[f"{name}/noised_lr"].shape[-2:])

        def denoise(
            x: jax.Array,
            t: np.integer,
            of_window: Any = of_window,
            boxes: list = boxes,
            x0s: list = x0s,
        ) -> jax.Array:
            x0s.append(blend(lambda y, window: of_window(y, t, window), x, boxes))
            return x0s[-1]

        noise = channels_last(tensors.get(f"{name}/noise", np.zeros((0, 1, 1))), 2)
        start = jnp.asarray(channels_last(tensors[f"{name}/noised_lr"]))
        out = solve(denoise, start, steps, RecordedNoise({STREAM: noise}))
        label = f"{recording.name}/{name}"
        recorded = channels_last(tensors[f"{name}/out"])
        cases.append(compare(f"{label}/out", out, recorded, NETWORK))
        if f"{name}/x0_steps" in tensors:
            recorded = channels_last(tensors[f"{name}/x0_steps"], 2)
            cases.append(compare(f"{label}/x0_steps", np.stack(x0s), recorded, NETWORK))
        cases.append(equal(f"{label}/t_sequence", calls, facts["t_sequence"]))
        cases.append(equal(f"{label}/mask", mask, facts["mask"]))
        expected = facts["chunks"] or [[0, frames]]
        cases.append(equal(f"{label}/windows", windows, expected))
    return cases


def replay_denoise(recording: Recording) -> list[Case]:
    """Replays one guided step at several times: x0, its clamped forms, and the posterior."""
    schedule, tensors, cases = cosine_interpolated_schedule(), recording.tensors, []
    x = jnp.asarray(channels_last(tensors["x"]))
    for name in sorted({key.split("/")[0] for key in tensors if re.fullmatch(r"t.*/x0", key)}):
        t = np.array([int(value) for value in name[1:].split("_")])
        alpha, sigma = _columns(schedule.alphas[t]), _columns(schedule.sigmas[t])
        prompt = toy_network(x, t, tensors["y"], _DENOISE_MASK)
        v = guidance.guide(prompt, toy_network(x, t, tensors["ny"], _DENOISE_MASK), 7.5, 0.2)
        x0 = guidance.v_to_x0(x, v, alpha, sigma)
        mean, variance = _posterior(schedule, t, x, x0)
        ours = {
            f"{name}/x0": x0,
            f"{name}/eps": (x - alpha * x0) / sigma,
            f"{name}/mu": mean,
            f"{name}/var": variance,
            f"pct/{name}/x0": guidance.clamp_percentile(x0, 0.995),
            f"clamp/{name}/x0": jnp.clip(x0, -1, 1),
        }
        cases += [
            compare(f"{recording.name}/{n}", value, channels_last(tensors[n]), BLOCK)
            for n, value in ours.items()
            if n in tensors
        ]
    return cases


def replay_blend(recording: Recording) -> list[Case]:
    """Replays cross-fades of windows, and the weights of tiles."""
    cases = []
    before, after = recording.tensors["blend_a"], recording.tensors["blend_b"]
    before, after = jnp.moveaxis(before, 1, -1), jnp.moveaxis(after, 1, -1)
    for name, recorded in recording.tensors.items():
        label = f"{recording.name}/{name}"
        if match := re.fullmatch(r"gauss_w(\d+)_h(\d+)", name):
            width, height = map(int, match.groups())
            weights = np.outer(gaussian(height, 0.0), gaussian(width, -0.5))
            cases.append(compare(label, weights, recorded, BLOCK))
        elif match := re.fullmatch(r"blend_out_e(\d+)", name):
            n = int(match.group(1))
            start = before.shape[1] - n
            windows = [(0, before.shape[1]), (start, start + after.shape[1])]
            whole = jnp.zeros((len(before), windows[1][1], *before.shape[2:]))
            parts = dict(zip(windows, (before, after), strict=True))
            ours = blend(
                lambda _, boxes, parts=parts: parts[boxes[0].frames.start, boxes[0].frames.stop],
                whole,
                _boxes(windows, before.shape[2:4]),
            )
            cases.append(compare(label, ours[:, start:], channels_last(recorded), BLOCK))
    return cases


def toy_network(x: jax.Array, t: Any, text: np.ndarray, mask: np.ndarray) -> jax.Array:
    """Computes the toy network of the recordings.

    Args:
      x: noisy latents `[B, F, h, w, C]`.
      t: time step, or time steps `[B]`.
      text: prompt features `[B, L, D]`.
      mask: index of each key frame, -1 for frames to interpolate, `[F]` or `[B, F]`.
    """
    frame = jnp.arange(x.shape[1], dtype=jnp.float32)[:, None, None, None]
    is_key = jnp.asarray(mask >= 0, jnp.float32)[..., None, None, None]
    mean = _columns(text.mean((1, 2)))
    time = _columns(jnp.sin(jnp.atleast_1d(jnp.asarray(t, jnp.float32))))
    return 0.3 * x + 0.1 * time + 0.2 * jnp.tanh(x * mean) + 0.05 * frame / 32 + 0.03 * is_key


def _boxes(windows: Sequence[tuple[int, int]], size: Sequence[int]) -> list[Box]:
    rows, columns = map(whole_span, size)
    return [Box(frames, rows, columns) for frames in faded_spans(windows)]


def _columns(per_video: Any) -> jax.Array:
    """Reshapes `[B]` to `[B, 1, 1, 1, 1]`."""
    return jnp.asarray(per_video).reshape(-1, 1, 1, 1, 1)


def _posterior(
    schedule: Schedule, t: np.ndarray, x: jax.Array, x0: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Computes mean and variance of the latents one time step earlier, given x0."""
    alpha, sigma = _columns(schedule.alphas[t]), _columns(schedule.sigmas[t])
    before = _columns(np.where(t > 0, schedule.alphas[np.maximum(t - 1, 0)], np.float32(1)))
    variance_before = 1 - before**2
    beta = 1 - (alpha / before) ** 2
    mean = (beta * before * x0 + alpha * variance_before / before * x) / sigma**2
    return mean, beta * variance_before / sigma**2


def _edm_sigmas(schedule: Schedule, name: str) -> np.ndarray:
    """Returns the noise levels of a sampler by its name in the recordings."""
    if name.startswith("disc_"):
        spacing: Any = name.removeprefix("disc_")
        return np.append(schedule.edm_sigma(even_times(21, 899, spacing)[:-1]), np.float32(0))
    solver, mode, steps, t_max = name.split("/")
    return edm_sigmas_for(
        schedule,
        solver=solver,
        mode="fast" if mode == "fast" else "normal",
        steps=int(steps.removeprefix("steps")),
        t_max=int(t_max.removeprefix("tmax")),
    )


def _toy_steps(schedule: Schedule, name: str, edm_sigmas: np.ndarray) -> LinearSteps | HeunSteps:
    """Returns the steps of a case, whose name states the options that are not the default."""
    if name.startswith("heun"):
        churn = 20.0 if "churn20" in name else 0.0
        return heun_steps(schedule, edm_sigmas, churn=churn, official_start=True)
    eta = 0.0 if "eta0" in name and "eta05" not in name else 0.5 if "eta05" in name else 1.0
    return dpmpp_2m_sde_steps(
        schedule,
        edm_sigmas,
        eta=eta,
        noise_scale=0.9 if "snoise09" in name else 1.0,
        second_order="heun" if "heuntype" in name else "midpoint",
        official_start=True,
    )


def _levels(steps: LinearSteps | HeunSteps, edm_sigmas: np.ndarray) -> Iterator[float]:
    """Yields the noise levels in the order of the denoiser's calls."""
    if isinstance(steps, LinearSteps):
        return iter(edm_sigmas[:-1])
    pairs = zip(steps.churned, steps.edm_sigmas[1:], strict=True)
    both = ([now, after] if after and np.isfinite(now) else [now] for now, after in pairs)
    return itertools.chain.from_iterable(both)
