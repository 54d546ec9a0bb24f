"""The tiny preset on the clip that ships with the package: needs no download.

    python sample.py
    python sample.py --config.input=VIDEO --config.output=OUT.mp4

Same networks as `configs/venhancer.py`, 20 million parameters in all. Hardware: any two cores.
Its weights are untrained: sizes, rates, sound and files are right, the pictures are not.
"""

from ml_collections import ConfigDict

from venhancer_jax.assets import demo_clip
from venhancer_jax.pipelines.config import enhancement_config


def get_config() -> ConfigDict:
    config = enhancement_config()
    config.input = str(demo_clip())
    config.up_scale = 2.0
    config.target_fps = "30"
    config.preset = "demo"
    return config.lock()
