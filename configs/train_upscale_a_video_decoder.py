"""Trains the new decoder layers of Upscale-A-Video's video VAE, against a discriminator.

    python -m venhancer_jax.training.precompute --config=configs/train_upscale_a_video_decoder.py \
        --output=PAIRS --examples=100000 --config.data=DATA --config.prior=RUN/weights \
        --config.vae=gs://BUCKET/weights/x4_vae --config.text=gs://BUCKET/weights/x4_text \
        --config.validate_steps=30
    python train.py --config=configs/train_upscale_a_video_decoder.py --workdir=gs://BUCKET/RUN2 \
        --config.data=PAIRS --config.vae=gs://BUCKET/weights/x4_vae

The first command samples the latents of low-quality clips with the fine-tuned UNet, as the paper
does; without it, latents are those of the target. Layers of the stock image VAE stay frozen. What
the paper leaves open: docs/training.md.

Hardware: TPU v6e-256 (`--plan=v6e-256` says whether it fits). L1, LPIPS, and a temporal PatchGAN
with spectral normalisation and a hinge loss (section 3.2), all in one step.
"""

from ml_collections import ConfigDict

from venhancer_jax.configs import train_upscale_a_video


def get_config() -> ConfigDict:
    config = train_upscale_a_video.get_config().unlock()
    config.objective = "decoder"
    config.loss.pixel = 1.0
    config.loss.perceptual = 1.0
    config.loss.adversarial = 0.01
    config.discriminator.width = 64
    config.discriminator.learning_rate = 1e-4
    config.batch = 256
    config.steps = 20_000
    config.mesh.context = 1
    config.validate_steps = 30
    return config.lock()
