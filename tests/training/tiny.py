"""The least real network: UNet, ControlNet, VAE and text encoder of which no parameter is zero."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from pipelines.tiny_system import random_params

from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.training.config import training_config
from venhancer_jax.training.tasks import export

CONFIGS: dict[str, Any] = {
    "venhancer": UNet3DConfig.tiny(
        width=64, blocks_per_level=0, multipliers=(1,), attention_levels=(), context_width=32
    ),
    "vae": VAEConfig.tiny(channels=(8, 8), blocks_per_level=0, groups=4, mid_attention=False),
    "text": ClipTextConfig(width=32, heads=2, layers=2).only_used(),
}
BATCH, FRAMES, SIDE = 4, 3, 16


def write_weights(folder: Path) -> None:
    """Writes a weight folder for each network, and `FOLDER/unet` without the ControlNet."""
    for name, sizes in CONFIGS.items():
        params = random_params(catalog.build(name, sizes))
        params = {n: jnp.asarray(x, jnp.float32) for n, x in params.items()}
        export(folder / name, name, sizes, params)
        if name == "venhancer":
            unet = {n: x for n, x in params.items() if n.startswith("unet.")}
            export(folder / "unet", name, sizes, unet)


def tiny_config(weights: Path, changes: Mapping[str, Any] | None = None) -> ConfigDict:
    config = training_config()
    config.dtype, config.trainable, config.start = "float32", "all", "published"
    config.prior, config.vae = str(weights / "venhancer"), str(weights / "vae")
    config.text = str(weights / "text")
    config.batch, config.frames, config.height, config.width = BATCH, FRAMES, SIDE, SIDE
    config.steps, config.warmup_steps, config.log_every, config.save_every = 3, 0, 1, 1
    config.learning_rate = 1e-3
    config.update_from_flattened_dict(dict(changes or {}))
    return config


def batch(seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    frames = generator.integers(0, 256, (2, BATCH, FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
    return {
        "video": frames[0],
        "low": frames[1],
        "key_index": np.array(BATCH // 2 * [[0, -1, 1], [0, 1, 2]], np.int32),
        "scale": np.array(BATCH // 2 * [2, 4], np.float32),
        "noise_aug": np.array(BATCH // 2 * [1, 300], np.int32),
        "tokens": generator.integers(0, 49408, (BATCH, 77), dtype=np.int32),
    }


def latent_batch(seed: int) -> dict[str, np.ndarray]:
    """A batch of latents that are computed already: the step compiles without the VAE."""
    shape = (2, BATCH, FRAMES, SIDE // 2, SIDE // 2, 4)
    video, low = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return batch(seed) | {"video": video, "low": low}


def on_devices(arrays: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    return {name: jnp.asarray(x) for name, x in arrays.items()}
