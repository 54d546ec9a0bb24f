"""Trains very small GenVE networks on synthetic clips in two minutes, to see that it works.

    python train.py --config=configs/train_genve_debug.py --workdir=/tmp/genve_debug

Hardware: any two cores. The weights are useless.
"""

from ml_collections import ConfigDict

from venhancer_jax.training.config import training_config


def get_config() -> ConfigDict:
    config = training_config()
    config.system = "genve"
    config.preset = "debug"
    config.trainable = "all"
    config.batch = 2
    config.frames = 3
    config.height = 32
    config.width = 32
    config.augment.strides = (1,)
    config.augment.up = "bicubic"
    config.augment.noise_levels = (1, 500)
    config.steps = 20
    config.learning_rate = 1e-3
    config.warmup_steps = 5
    config.log_every = 5
    config.save_every = 10
    return config.lock()
