"""The smallest training of GenVE that shows what its parts do: rows of the paper's ablation.

    python -m benchmarks.genve_ablation --workdir=DIR

trains all rows with this config, whose `reference` each row changes; steps, learning rate and data
are settings of that command. The networks have the size of the shipped model but start fresh: its
weights are of a model of one step, from which the diffusion loss recovers more slowly. Frames are
4 patches high, so that windows of 2 are near. Hardware: two cores.
"""

from ml_collections import ConfigDict

from venhancer_jax.assets import demo_weights
from venhancer_jax.training.config import training_config


def get_config() -> ConfigDict:
    config = training_config()
    config.system = "genve"
    config.preset = "demo"
    config.vae = str(demo_weights() / "vae")
    config.start = "published"
    config.dtype = "float32"
    config.batch = 4
    config.frames = 3
    config.height = 32
    config.width = 64
    config.reference.neighbours = 2
    config.augment.strides = (1,)
    config.augment.scales = (8.0,)
    config.augment.down = "area"
    config.augment.noise_levels = (1, 500)
    config.learning_rate = 3e-3
    config.warmup_steps = 20
    config.weight_decay = 0.0
    config.cosine_decay = True
    return config.lock()
