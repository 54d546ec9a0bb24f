"""A config of the toy system: segments of a few frames."""

from ml_collections import ConfigDict

from venhancer_jax.pipelines.config import enhancement_config


def get_config() -> ConfigDict:
    config = enhancement_config("toy")
    config.window = 4
    config.segment_windows = 1
    config.memory = 0.01
    config.cuts = "none"
    return config.lock()
