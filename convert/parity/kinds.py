"""Which replay belongs to which kind of recording."""

from collections.abc import Callable

from venhancer_jax.convert.parity import diffusion, frames, networks, tables, training
from venhancer_jax.convert.parity.case import Case
from venhancer_jax.convert.parity.recording import Recording

KINDS: dict[str, Callable[[Recording], list[Case]]] = {
    "network": networks.replay_network,
    "network_base_only": networks.replay_base,
    "network_block_outputs": networks.replay_block_outputs,
    "block": networks.replay_block,
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
    "vae_temporal": frames.replay_vae,
    "vae_kl": frames.replay_vae,
    "vae_tiled_decode": frames.replay_tiled_decode,
    "text": frames.replay_text,
    "resize": frames.replay_resize,
    "color": frames.replay_colour,
    "pipeline": frames.replay_pipeline,
    "train_step": training.replay_train_step,
}
