"""Replays of recordings of the VEnhancer program."""

from collections.abc import Callable

from venhancer_jax.convert.parity import recipe
from venhancer_jax.convert.parity.case import Case
from venhancer_jax.convert.parity.recording import Recording
from venhancer_jax.convert.parity.venhancer import (
    blocks,
    diffusion,
    frames,
    networks,
    pipeline,
    tables,
    training,
)

_REPLAYS: dict[str, Callable[[Recording], list[Case]]] = {
    "network": networks.replay_network,
    "network_base_only": networks.replay_base,
    "network_block_outputs": networks.replay_block_outputs,
    "block": blocks.replay_block,
    "embedding": diffusion.replay_embedding,
    "schedule": diffusion.replay_schedule,
    "timesteps": diffusion.replay_timesteps,
    "solver": diffusion.replay_solvers,
    "sampler": diffusion.replay_sampler,
    "denoise": diffusion.replay_denoise,
    "blend": diffusion.replay_blend,
    "chunks": tables.replay_windows,
    "sizes": tables.replay_sizes,
    "tokens": tables.replay_tokens,
    "flops": tables.replay_flops,
    "resize": frames.replay_resize,
    "vae_tiled_decode": pipeline.replay_tiled_decode,
    "pipeline": pipeline.replay_pipeline,
    "train_step": training.replay_train_step,
}
KINDS = {("venhancer", kind): replay for kind, replay in _REPLAYS.items()}
RECIPES = {"venhancer": recipe.weight}
# Keys by which JSON files of tables are recognized.
TABLES = {
    "R3_make_chunks": ("venhancer", "chunks"),
    "pad_to_fit": ("venhancer", "sizes"),
    "tokens": ("venhancer", "tokens"),
    "unet_TFLOP": ("venhancer", "flops"),
    "model_t": ("venhancer", "timesteps"),
    "n_model_calls": ("venhancer", "companion"),
}
