"""Trains the denoiser of the model that ships with the package: the last of three stages.

    python train.py --config=configs/train_demo_pixels.py --workdir=RUN/pixels \
        --config.data=DATA/train --config.vae=RUN/vae/weights --config.prior=RUN/latent/weights

Learns motion, with a loss on decoded frames. Hardware: two cores.
"""

from ml_collections import ConfigDict

from venhancer_jax.configs import train_demo_latent


def get_config() -> ConfigDict:
    config = train_demo_latent.get_config().unlock()
    config.batch = 3
    config.frames = 3
    # Drawn in proportion to their values: every second frame is the most common.
    config.augment.strides = (1, 2, 2)
    config.augment.interpolation = "flow"
    config.loss.latent = 0.0
    config.loss.pixel = 1.0
    config.loss.perceptual = 0.3
    config.steps = 1600
    config.learning_rate = 1e-3
    config.cosine_decay = True
    config.ema_decay = 0.99
    config.weights_dtype = "float16"
    return config.lock()
