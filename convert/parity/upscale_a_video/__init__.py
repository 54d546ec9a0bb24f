"""Replays of recordings of the Upscale-A-Video program."""

from collections.abc import Callable

from venhancer_jax.convert.parity.case import Case
from venhancer_jax.convert.parity.recording import Recording
from venhancer_jax.convert.parity.upscale_a_video import (
    autoencoder,
    blocks,
    colour,
    diffusion,
    flow,
    networks,
    pipeline,
    tables,
)
from venhancer_jax.convert.parity.upscale_a_video.recipe import weight

_REPLAYS: dict[str, Callable[[Recording], list[Case]]] = {
    "block": blocks.replay_block,
    "network": networks.replay_network,
    "vae": autoencoder.replay_vae,
    "color": colour.replay_colour,
    "propagation": diffusion.replay_propagation,
    "raft": flow.replay_raft,
    "raft_bidirectional": flow.replay_bidirectional,
    "raft_slicing": flow.replay_slicing,
    "scheduler": diffusion.replay_scheduler,
    "pipeline": pipeline.replay_pipeline,
    "pipeline_tiled": pipeline.replay_pipeline,
    "segments": tables.replay_segments,
    "tiles": tables.replay_tiles,
}
KINDS = {("upscale_a_video", kind): replay for kind, replay in _REPLAYS.items()}
RECIPES = {"upscale_a_video": weight}
# Keys by which JSON files of tables are recognized.
TABLES = {
    "clip_lengths": ("upscale_a_video", "raft_slicing"),
    "lengths": ("upscale_a_video", "segments"),
    "cases": ("upscale_a_video", "tiles"),
    "arrays": ("upscale_a_video", "companion"),
}
