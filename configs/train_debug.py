"""Trains very small networks on synthetic clips in two minutes, to see that everything works.

    python train.py --config=configs/train_debug.py --workdir=/tmp/debug

Hardware: any two cores. The loss falls; the weights are useless.
"""

from ml_collections import ConfigDict

from venhancer_jax.training.config import training_config


def get_config() -> ConfigDict:
    config = training_config()
    config.preset = "debug"
    config.trainable = "all"
    config.batch = 2
    config.frames = 5
    config.height = 64
    config.width = 64
    config.steps = 30
    config.learning_rate = 1e-3
    config.warmup_steps = 5
    config.log_every = 5
    config.save_every = 10
    return config.lock()
