"""Trains the temporal layers of a very small Upscale-A-Video on synthetic clips for two minutes.

    python train.py --config=configs/train_upscale_a_video_debug.py --workdir=/tmp/debug

Hardware: any two cores. The validation loss, on clips that do not train, falls from .78 at the
start (`--config.steps=1 --config.learning_rate=0 --config.validate_every=1`) to .35; the
weights are useless.
"""

from ml_collections import ConfigDict

from venhancer_jax.configs import train_upscale_a_video


def get_config() -> ConfigDict:
    config = train_upscale_a_video.get_config().unlock()
    config.preset = "debug"
    config.dtype = "float32"
    config.remat = "none"
    config.batch = 2
    config.frames = 4
    config.height = 64
    config.width = 64
    config.workers = 0
    config.augment.shrink = True
    config.steps = 200
    config.learning_rate = 1e-3
    config.warmup_steps = 10
    config.ema_decay = 0.9
    config.mesh.fsdp = 1
    config.mesh.context = 1
    config.distributed = False
    config.log_every = 25
    config.save_every = 100
    config.validate_every = 100
    config.validate_data = "synthetic"
    config.validate_clips = 16
    config.validate_steps = 2
    return config.lock()
