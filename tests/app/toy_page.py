"""A config of the toy system: segments of a few frames."""

from ml_collections import ConfigDict

from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.pipelines.registry import SYSTEMS


def get_config() -> ConfigDict:
    SYSTEMS.setdefault("toy", "pipelines.toy_system")  # in a process of its own
    config = enhancement_config("toy")
    config.window = 4
    config.segment_windows = 1
    config.memory = 0.01
    config.cuts = "none"
    return config.lock()
