"""The least Upscale-A-Video that trains, in place of its debug preset."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from venhancer_jax.configs import (
    train_upscale_a_video_debug,
    train_upscale_a_video_decoder_debug,
)
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.models.upscale_a_video.config import UpscaleUNetConfig

FRAMES, SIDE = 2, 32
UNET = UpscaleUNetConfig.tiny(
    channels=(64, 64), attention_levels=(), heads=(1, 1), only_cross_levels=(), context_width=16
)
# Kernels that start at zero: of the middle's temporal attention and of five temporal modules.
SILENT = 1 + 5
NETWORKS = {
    "upscale_a_video": UNET,
    "vae": VAEConfig.x4_image(
        channels=(8, 8, 8), blocks_per_level=0, groups=4, mid_attention=False
    ),
    "text": NullTextConfig(width=16),
}
WEIGHTS = {"pixel": 2.0, "perceptual": 0.5, "adversarial": 0.3}

LATENTS = np.random.default_rng(2).standard_normal((2, FRAMES, 8, 8, 4)).astype(np.float32)


def tiny_batch() -> dict[str, jax.Array]:
    """Returns two clips, with the least and the largest noise level."""
    generator = np.random.default_rng(0)
    low = generator.integers(0, 256, (2, FRAMES, SIDE // 4, SIDE // 4, 3), np.uint8)
    batch = {
        "video": low.repeat(4, 2).repeat(4, 3),
        "low": low,
        "noise_aug": np.array([1, 351], np.int32),
        "tokens": np.zeros((2, 77), np.int32),
    }
    return {name: jnp.asarray(x) for name, x in batch.items()}


def moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Returns the names of the parameters that changed."""
    assert before.keys() == after.keys()
    return {n for n in before if not np.array_equal(before[n], after[n])}


def diffusion_config(**changes: Any) -> ConfigDict:
    """Returns the config of the UNet's training; keys of changes have `__` for a dot."""
    return _changed(train_upscale_a_video_debug.get_config(), changes)


def decoder_config(**changes: Any) -> ConfigDict:
    """Returns the config of the decoder's training."""
    weights = {f"loss__{name}": x for name, x in WEIGHTS.items()}
    return _changed(train_upscale_a_video_decoder_debug.get_config(), weights | changes)


def train_on_mesh(objective: str, folder: Path) -> None:
    """Trains two steps on four devices, in a process of its own."""
    from venhancer_jax.pipelines.registry import find_system
    from venhancer_jax.sharding import params
    from venhancer_jax.training import run

    params.LEAST_SHARDED = 2**9
    find_system("upscale_a_video").presets["debug"] = NETWORKS  # pyright: ignore
    # The full UNet shares frames among devices, too.
    config, sizes = {
        "diffusion": (diffusion_config, {"mesh__fsdp": 2, "mesh__context": 2}),
        "decoder": (decoder_config, {"mesh__data": 2, "mesh__fsdp": 2}),
    }[objective]
    run.train(config(batch=4, steps=2, **sizes), folder)


def _changed(config: ConfigDict, changes: dict[str, Any]) -> ConfigDict:
    config = config.unlock()
    config.frames, config.height, config.width = FRAMES, SIDE, SIDE
    config.steps, config.warmup_steps, config.log_every, config.save_every = 4, 0, 1, 2
    config.validate_every, config.augment.real_world = 0, 0.0
    config.discriminator.width = 2
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    return config.lock()
