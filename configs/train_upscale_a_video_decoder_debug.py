"""Trains the new decoder layers of a very small video VAE on synthetic clips for two minutes.

    python train.py --config=configs/train_upscale_a_video_decoder_debug.py --workdir=/tmp/debug

Hardware: any two cores. The validation loss, on clips that do not train, falls from 1.01 at the
start to about .65 (L1 from .52 to .38, LPIPS from .49 to .27); the weights are useless.
"""

from ml_collections import ConfigDict

from venhancer_jax.configs import train_upscale_a_video_debug, train_upscale_a_video_decoder


def get_config() -> ConfigDict:
    config = train_upscale_a_video_debug.get_config().unlock()
    decoder = train_upscale_a_video_decoder.get_config()
    config.objective = decoder.objective
    config.loss = decoder.loss
    # Convolutions in space and time take a processor long.
    config.frames = 3
    config.height = 32
    config.width = 32
    config.discriminator.width = 4
    config.validate_clips = 8
    config.cosine_decay = True
    return config.lock()
