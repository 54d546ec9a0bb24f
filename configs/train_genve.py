"""Trains GenVE's ControlNet and its attention to the reference: 17 frames of 720x1280.

    python train.py --config=configs/train_genve.py --workdir=gs://BUCKET/RUN \
        --config.data=DATA --config.prior=gs://BUCKET/weights/venhancer_v2 \
        --config.vae=gs://BUCKET/weights/svd_vae --config.text=gs://BUCKET/weights/openclip

Starts from VEnhancer's weights, whose UNet is frozen; `--config.prior` may also be a folder of
GenVE's own. The excerpt of the paper at hand has no training settings: docs/genve.md lists what is
chosen here.

Hardware: a TPU v5p-256 or v6e-256; `--plan=v6e-256` checks that it fits. docs/pods.md says how to
run it.
"""

from ml_collections import ConfigDict

from venhancer_jax.training.config import training_config


def get_config() -> ConfigDict:
    config = training_config()
    config.system = "genve"
    config.preset = "genve"
    config.start = "published"
    config.dtype = "bfloat16"
    config.remat = "blocks"
    config.frames = 17
    config.height = 720
    config.width = 1280
    config.fps = "24"
    config.workers = 16
    # No frames are added between frames, and the degradations are those of real videos.
    config.augment.strides = (1,)
    config.augment.real_world = 1.0
    config.augment.up = "bicubic"
    config.augment.noise_levels = (1, 500)
    config.learning_rate = 1e-5
    config.warmup_steps = 500
    config.steps = 20_000
    config.mesh.data = -1
    config.mesh.fsdp = 8
    config.distributed = True
    config.batch = 256
    config.save_every = 500
    return config.lock()
