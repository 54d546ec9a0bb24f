"""Replays of optical flow: RAFT's parts, flows in both directions, and how clips are sliced."""

import re
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.convert.layouts import layout_entries
from venhancer_jax.convert.parity.case import FULL_SIZE, Case, compare, equal_tables
from venhancer_jax.convert.parity.recording import Recording, channels_last
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.raft.raft import ITERATIONS, RaftConfig, State
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.upscale_a_video.flow import bidirectional_flow

# Frames per clip of the reference implementation, up to a width.
_OFFICIAL_CLIPS = ((640, 12), (720, 8), (1280, 4))


def replay_raft(recording: Recording) -> list[Case]:
    """Replays features, context, lookups, and the flow after each recorded iteration."""
    tensors = {name: channels_last(tensor) for name, tensor in recording.tensors.items()}
    network, params = _raft(recording)
    first, second = tensors["image1"], tensors["image2"]

    @jax.jit
    def parts(params: Params, shift: jax.Array) -> dict[str, jax.Array]:
        raft = network.bind(params)
        found = {
            "fmap1": raft.features(first),
            "fmap2": raft.features(second),
            "cnet": raft.context(first),
        }
        sample = raft.correlations(found["fmap1"], found["fmap2"])
        found["corr_iter0"] = sample(jnp.zeros_like(shift))
        return found | {"corr_shifted": sample(shift)}

    @partial(jax.jit, static_argnums=3)
    def advance(params: Params, maps: dict, state: State, count: int) -> tuple[State, jax.Array]:
        raft = network.bind(params)
        sample = raft.correlations(maps["fmap1"], maps["fmap2"])

        def step(state: State, _: None) -> tuple[State, None]:
            return raft.update(state, sample(state[2])), None

        state, _ = jax.lax.scan(step, state, length=count)
        return state, raft.upsample(state)

    no_shift = np.zeros((*np.array(first.shape[:3]) // (1, 8, 8), 2), np.float32)
    ours: dict[str, Any] = parts(params, jnp.asarray(tensors.get("corr_shift", no_shift)))
    state, done = network.bind(params).start(ours["cnet"]), 0
    found = (re.fullmatch(r"flow_(?:up_iter|low_)(\d+)", name) for name in tensors)
    for iteration in sorted({int(match[1]) for match in found if match}):
        state, up = advance(params, ours, state, iteration - done)
        done = iteration
        ours |= {f"flow_up_iter{iteration}": up, f"flow_low_{iteration}": state[2]}
    return [
        compare(f"{recording.name}/{name}", value, tensors[name], FULL_SIZE)
        for name, value in ours.items()
        if name in tensors
    ]


def replay_bidirectional(recording: Recording) -> list[Case]:
    """Replays the flows of a clip in both directions, with the scaled rows of the reference."""
    frames = np.moveaxis(recording.tensors["frames"][0], 0, -1)
    network, params = _raft(recording)
    flows = bidirectional_flow(
        network,
        params,
        frames,
        official_rows=True,
        iterations=recording.info.get("iters", ITERATIONS),
    )
    names = "flows_forward", "flows_backward"
    return [
        compare(
            f"{recording.name}/{name}",
            flow,
            np.moveaxis(recording.tensors[name][0], 0, -1),
            FULL_SIZE,
        )
        for name, flow in zip(names, flows, strict=True)
        if name in recording.tensors
    ]


def replay_slicing(recording: Recording) -> list[Case]:
    """Replays the lengths of the clips whose flows are computed together."""
    ours, table = {}, recording.info["table"]
    for name in table:
        frames, width = re.fullmatch(r"T(\d+)_w(\d+)", name).groups()  # pyright: ignore
        lengths = official_clip_lengths(int(frames), int(width))
        ours[name] = {"clip_lengths": lengths, "n_flows": sum(lengths) - len(lengths)}
    return [equal_tables(recording.path.stem, ours, table)]


def official_clip_lengths(frames: int, width: int) -> list[int]:
    """Returns the lengths of the clips that the reference implementation computes flows of.

    Every clip but the first one starts with the last frame of the clip before, so that the slicing
    changes no flow.

    Args:
      frames: number of frames.
      width: width of the frames, in pixels.
    """
    most = next((most for widest, most in _OFFICIAL_CLIPS if width <= widest), 2)
    starts = range(0, frames, most)
    return [min(start + most, frames) - start + (start > 0) for start in starts]


def _raft(recording: Recording) -> tuple[FunctionalModule, Params]:
    config = RaftConfig(**recording.info.get("config", {}))
    entries = layout_entries("raft", config, "plain")
    return catalog.build("raft", config), recording.params(entries)
