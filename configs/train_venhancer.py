"""Trains the video ControlNet at the paper's size: 16 or more frames of 720x1280, batch 256.

    python train.py --config=configs/train_venhancer.py --workdir=gs://BUCKET/RUN \
        --config.data=gs://BUCKET/DATA --config.prior=gs://BUCKET/weights/venhancer_v2 \
        --config.vae=gs://BUCKET/weights/svd_vae --config.text=gs://BUCKET/weights/openclip

AdamW at 1e-5 as in the paper (section 4), which took four days on 16 A100.
"""

from ml_collections import ConfigDict

from venhancer_jax.training.config import training_config


def get_config() -> ConfigDict:
    config = training_config()
    config.preset = "venhancer"
    config.batch = 256
    config.frames = 17
    config.height = 720
    config.width = 1280
    config.fps = "24"
    config.workers = 16
    config.steps = 20_000
    config.learning_rate = 1e-5
    config.warmup_steps = 500
    config.mesh.data = -1
    config.mesh.fsdp = 8
    config.distributed = True
    return config.lock()
