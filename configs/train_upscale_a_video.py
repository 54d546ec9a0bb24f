"""Trains the temporal layers of Upscale-A-Video's UNet at the paper's size: 384 clips a step.

    python train.py --config=configs/train_upscale_a_video.py --workdir=gs://BUCKET/RUN \
        --config.data=DATA --config.prior=gs://BUCKET/weights/x4_upscaler \
        --config.vae=gs://BUCKET/weights/x4_vae --config.text=gs://BUCKET/weights/x4_text

Clips are 8 frames of 320x320, low-resolution clips and latents 80x80. Starts from the stock x4
upscaler, whose layers stay frozen. The paper's second phase, 10,000 steps on clips without
watermarks and captions: `--config.start=published --config.prior=RUN/weights --config.steps=10000
--config.data=YOUHQ`. `--config.start=published` with the published weights continues their
training. What the paper leaves open: docs/training.md.

Hardware: TPU v6e-256 (`--plan=v6e-256` says whether it fits), of which two chips share the frames
of three clips. The paper took 32 A100 of 80 GB. Adam at 1e-4, 70,000 steps and a v-loss as in the
paper (section 4.1).
"""

from ml_collections import ConfigDict

from venhancer_jax.training.config import training_config


def get_config() -> ConfigDict:
    config = training_config()
    config.system = "upscale_a_video"
    config.preset = "upscale_a_video"
    config.objective = "diffusion"
    config.trainable = "added"
    config.start = "prior"
    config.dtype = "bfloat16"
    config.remat = "blocks"
    config.batch = 384
    config.frames = 8
    config.height = 320
    config.width = 320
    config.workers = 16
    config.augment.shrink = False
    config.augment.strides = (1,)
    config.augment.scales = (4.0,)
    config.augment.enlarge = False
    config.augment.real_world = 1.0
    # Labels 0 to 350.
    config.augment.noise_levels = (1, 351)
    config.augment.text_dropout = 0.1
    config.steps = 70_000
    config.learning_rate = 1e-4
    config.warmup_steps = 500
    config.weight_decay = 0.0
    config.mesh.data = -1
    config.mesh.fsdp = 8
    config.mesh.context = 2
    config.distributed = True
    config.save_every = 500
    return config.lock()
