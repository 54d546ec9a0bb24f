"""Replays of schedules, steps and the propagation of latents along optical flow."""

import dataclasses
import re
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.convert.parity.case import BLOCK, Case, compare, equal
from venhancer_jax.convert.parity.recording import Recording, channels_last
from venhancer_jax.diffusion.guidance import v_to_noise, v_to_x0
from venhancer_jax.diffusion.propagation import consistency_mask, propagate, warp
from venhancer_jax.diffusion.schedule import STEPS, scaled_linear_alphas_cumprod
from venhancer_jax.diffusion.scheduler_config import SchedulerConfig
from venhancer_jax.diffusion.solvers import linear_step
from venhancer_jax.video.flow import resize_flows

# Steps of the sampler whose single steps were recorded.
_STEPS = 30


def replay_scheduler(recording: Recording) -> list[Case]:
    """Replays noise levels, times, single steps and the noising of the input."""
    info, tensors = recording.info, recording.tensors
    config = SchedulerConfig.from_dict(info["ddim"])
    low = SchedulerConfig.from_dict(info.get("low_res", info["ddim"]), sampling=False)
    products = scaled_linear_alphas_cumprod(config.beta_start, config.beta_end)
    final = 1.0 if config.set_alpha_to_one else products[0]
    ours: dict[str, Any] = {}
    for name in tensors:
        if name in ("alphas_cumprod", "final_alpha_cumprod"):
            ours[name] = products if name == "alphas_cumprod" else final
        elif match := re.fullmatch(r"timesteps_(\d+)(?:_offset(\d+))?", name):
            steps, offset = match.groups()
            changes = {"steps_offset": int(offset)} if offset else {}
            ours[name] = _changed(config, **changes).times(int(steps))
        elif match := re.fullmatch(r"(x0|prev|prev_bumped)(_fp16)?_i(\d+)(_alpha_one)?", name):
            what, half, i, to_one = match.groups()
            changed = _changed(config, set_alpha_to_one=True) if to_one else config
            one_step = _half_step if half else _step
            ours[name] = one_step(changed, what, int(i), tensors)
        elif match := re.fullmatch(r"lr_noised(_fp16)?_(\d+)", name):
            ours[name] = _noised(low, int(match[2]), tensors, half=bool(match[1]))
    return [
        _verdict(f"{recording.name}/{n}", x, tensors[n]) for n, x in ours.items() if n in tensors
    ]


def _noised(config: SchedulerConfig, t: int, tensors: Any, *, half: bool) -> Any:
    if not half:
        return config.schedule.add_noise(tensors["lr"], tensors["lr_noise"], t)
    # The products are rounded to float16 before their roots are taken.
    product = scaled_linear_alphas_cumprod(config.beta_start, config.beta_end).astype(np.float16)[t]
    x, noise = tensors["lr"].astype(np.float16), tensors["lr_noise"].astype(np.float16)
    return np.sqrt(product) * x + np.sqrt(np.float16(1) - product) * noise


def replay_propagation(recording: Recording) -> list[Case]:
    """Replays warps, masks of consistent flow, and the propagations that `calls` describes."""
    tensors, cases = recording.tensors, []
    calls, names = recording.info.get("calls", {}), "flows_forward, flows_backward"
    for name in tensors:
        if match := re.fullmatch(r"warp_(nearest|bilinear)(_halfpix)?", name):
            interpolation: Any = match[1]
            half = match[2]
            frame = channels_last(tensors["x"])[:, 0 if half else 1]
            flow = tensors["flow_halfpix"] if half else _flows(tensors, names)[0][:1]
            ours = jax.jit(partial(warp, interpolation=interpolation))(frame, flow)
        elif match := re.fullmatch(r"mask_a([\d.]+)_([\d.]+)", name):
            pair = (flow[:1] for flow in _flows(tensors, names))
            ours = jax.jit(consistency_mask)(*pair, *map(float, match.groups()))
        elif name in calls:
            call = dict(calls[name])
            frames = channels_last(tensors[call.pop("x", "x")])
            pair = _flows(tensors, call.pop("flows", names))
            size = frames.shape[2:4]
            flows = [resize_flows(flow, size, official=True) for flow in pair]
            ours = propagate(frames, *flows, **call)
        else:
            continue
        recorded = channels_last(tensors[name])
        cases.append(compare(f"{recording.name}/{name}", ours, recorded, BLOCK))
    return cases


def _flows(tensors: Any, names: str) -> list[np.ndarray]:
    """Returns two recorded flows `[1, 2, F - 1, h, w]` as `[F - 1, h, w, 2]`."""
    return [np.ascontiguousarray(channels_last(tensors[n.strip()])[0]) for n in names.split(",")]


def _changed(config: SchedulerConfig, **changes: Any) -> SchedulerConfig:
    return dataclasses.replace(config, **changes)


def _verdict(name: str, ours: Any, recorded: np.ndarray) -> Case:
    if recorded.dtype != np.float32 or name.endswith("_cumprod"):
        return equal(name, np.reshape(ours, recorded.shape), recorded)
    return compare(name, ours, recorded, BLOCK)


def _step(config: SchedulerConfig, what: str, i: int, tensors: Any) -> Any:
    """Computes x0 or the next latents of one step, by the code that samples."""
    steps, levels = config.ddim_steps(_STEPS), config.schedule
    x, v = jnp.asarray(tensors["sample"]), jnp.asarray(tensors["v"])
    t = steps.t[i]
    x0 = v_to_x0(x, v, float(levels.alphas[t]), float(levels.sigmas[t]))
    if what == "x0":
        return x0
    bump = tensors["x0_bump"] if what == "prev_bumped" else 0
    return linear_step(lambda *_: x0, steps, i, x, None, None, lambda x0, _: x0 + bump)[0]


def _half_step(config: SchedulerConfig, what: str, i: int, tensors: Any) -> np.ndarray:
    """Computes one step in float16, in the order of operations of the reference implementation."""
    times, schedule = config.times(_STEPS), config.schedule
    levels: Any = np.stack([schedule.alphas, schedule.sigmas]).astype(np.float16)
    x, v = tensors["sample"].astype(np.float16), tensors["v"].astype(np.float16)
    t, before = times[i], times[i] - STEPS // _STEPS
    alpha, sigma = (level[t] for level in levels)
    x0: Any = v_to_x0(x, v, alpha, sigma)
    if what == "x0":
        return x0
    if before < 0 and config.set_alpha_to_one:
        return x0
    alpha_next, sigma_next = (level[max(before, 0)] for level in levels)
    return alpha_next * x0 + sigma_next * np.asarray(v_to_noise(x, v, alpha, sigma))
