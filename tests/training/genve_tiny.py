"""The least GenVE that trains, from the least VEnhancer."""

from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from training.tiny import BATCH, FRAMES, SIDE, latent_batch, tiny_config


def genve_config(weights: Path, **changes: Any) -> ConfigDict:
    """Returns a config that starts from VEnhancer; keys of changes have `__` for a dot."""
    config = tiny_config(weights, {"system": "genve", "trainable": "controlnet"})
    config.augment.strides, config.augment.noise_levels = (1,), (1, 500)
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    return config


def guided_batch(seed: int) -> dict[str, np.ndarray]:
    """Draws latents whose flows lead two columns to the right from one frame to the next."""
    flow = np.zeros((BATCH, FRAMES, SIDE // 2, SIDE // 2, 2), np.float32)
    key_frame = np.arange(BATCH, dtype=np.int32) % FRAMES
    flow[..., 0] = 2 * (key_frame[:, None] - np.arange(FRAMES))[..., None, None]
    return latent_batch(seed) | {"flow": flow, "key_frame": key_frame}
