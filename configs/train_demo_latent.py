"""Trains the denoiser of the model that ships with the package: the second of three stages.

    python train.py --config=configs/train_demo_latent.py --workdir=RUN/latent \
        --config.data=DATA/train --config.vae=RUN/vae/weights

Learns to enlarge single frames, in latents, which is cheap. Hardware: two cores.
"""

from ml_collections import ConfigDict

from venhancer_jax.training.config import training_config


def get_config() -> ConfigDict:
    config = training_config()
    config.preset = "demo"
    config.objective = "one_step"
    config.one_step_start = 20
    config.loss.pixel = 0.0
    config.trainable = "all"
    config.start = "published"
    config.batch = 8
    config.frames = 1
    config.height = 136
    config.width = 128
    config.augment.shrink = False
    config.augment.strides = (1,)
    # Drawn in proportion to their values.
    config.augment.scales = (2.0, 3.0, 4.0, 4.0)
    config.augment.down = "area"
    config.augment.noise_levels = (1, 1)
    config.steps = 600
    config.learning_rate = 2e-3
    config.warmup_steps = 20
    config.weight_decay = 0.0
    config.ema_decay = 0.99
    config.log_every = 50
    config.save_every = 250
    config.keep = 1
    return config.lock()
