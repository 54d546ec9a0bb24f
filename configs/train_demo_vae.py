"""Trains the VAE of the model that ships with the package: the first of three stages.

    python -m venhancer_jax.data.demo_clips --output=DATA
    python train.py --config=configs/train_demo_vae.py --workdir=RUN/vae --config.data=DATA/train

Hardware: two cores.
"""

from ml_collections import ConfigDict

from venhancer_jax.training.config import training_config


def get_config() -> ConfigDict:
    config = training_config()
    config.preset = "demo"
    config.objective = "autoencoder"
    config.loss.pixel = 1.0
    config.loss.perceptual = 0.2
    config.loss.kl = 1e-5
    config.batch = 4
    config.frames = 1
    config.height = 128
    config.width = 128
    config.augment.shrink = False
    config.augment.strides = (1,)
    config.augment.scales = (1.0,)
    config.steps = 150
    config.learning_rate = 5e-4
    config.warmup_steps = 20
    config.cosine_decay = True
    config.weight_decay = 0.0
    config.ema_decay = 0.99
    config.save_every = 200
    config.keep = 1
    config.weights_dtype = "float16"
    return config.lock()
