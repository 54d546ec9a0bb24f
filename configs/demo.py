"""The small model that ships with the package, on its clip: needs no download.

    python sample.py
    python sample.py --config.input=VIDEO --config.output=OUT.mp4

Enlarges 2 to 4 times and doubles the frame rate, in one step. Hardware: any two cores. What it can
and cannot do: docs/model_card.md.
"""

from ml_collections import ConfigDict

from venhancer_jax.assets import demo_clip
from venhancer_jax.pipelines.config import enhancement_config


def get_config() -> ConfigDict:
    config = enhancement_config("venhancer")
    config.input = str(demo_clip())
    config.up_scale = 4.0
    config.fps_scale = 2.0
    config.preset = "demo"
    # As it was trained: one step without noise, and no text.
    config.solver = "ddim"
    config.solver_mode = "normal"
    config.steps = 1
    config.noise_levels = 21
    config.start_noise = 0.0
    config.interpolation = "flow"
    config.noise_aug = 0
    config.guidance_scale = 1.0
    return config.lock()
