"""Trains the video ControlNet at the paper's size: 17 frames of 720x1280, 256 clips an update.

    python train.py --config=configs/train_venhancer.py --workdir=gs://BUCKET/RUN \
        --config.data=DATA --config.prior=gs://BUCKET/weights/venhancer_v2 \
        --config.vae=gs://BUCKET/weights/svd_vae --config.text=gs://BUCKET/weights/openclip

Starts from the UNet of the prior, as the paper does: the ControlNet copies its encoder, and all
other layers of the ControlNet start at zero. `--config.start=published` continues the training of
the published ControlNet.

Hardware: `:tpu`, the default, is for a TPU v5p-256 (128 chips of 32 hosts), `:gpu16` for 16 GPUs of
80 GB in two nodes, which split the batch into sixteen steps. docs/pods.md says how to run it.

AdamW at 1e-5 as in the paper (section 4), which took four days on 16 A100.
"""

from ml_collections import ConfigDict

from venhancer_jax.training.config import training_config

# Updates of the parameters.
_UPDATES = 20_000


def get_config(hardware: str = "tpu") -> ConfigDict:
    if hardware not in ("tpu", "gpu16"):
        raise ValueError(f"{hardware!r}: expected tpu or gpu16")
    config = training_config()
    config.preset = "venhancer"
    config.start = "prior"
    config.dtype = "bfloat16"
    config.remat = "blocks"
    config.frames = 17
    config.height = 720
    config.width = 1280
    config.fps = "24"
    config.workers = 16
    config.learning_rate = 1e-5
    config.warmup_steps = 500
    # Parameters, their average and the optimizer take 16 GB in float32: an eighth for each device.
    config.mesh.data = -1
    config.mesh.fsdp = 8
    config.distributed = True
    # Gradients of several steps make one update.
    config.accumulate = 1 if hardware == "tpu" else 16
    config.batch = 256 // config.accumulate
    config.steps = _UPDATES * config.accumulate
    config.save_every = 500 * config.accumulate
    return config.lock()
