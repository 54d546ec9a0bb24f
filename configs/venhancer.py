"""VEnhancer with the published weights, v2.

    python sample.py --config=configs/venhancer.py --config.input=VIDEO --config.output=OUT.mp4

The first release: --config.version=v1. The published program with its quirks, for parity:
--config.compat=official. Weights are fetched and converted once; without a network give
--config.checkpoint, --config.vae_checkpoint and --config.text_checkpoint as files.

A window of 32 frames at 720p takes 258 TFLOP a network call, 28 calls in the fast mode. Weights
take 4.1 GiB in bfloat16, 8.2 GiB in float32.
"""

from ml_collections import ConfigDict

from venhancer_jax.pipelines.config import enhancement_config


def get_config() -> ConfigDict:
    config = enhancement_config("venhancer")
    config.up_scale = 4.0
    config.version = "v2"
    config.vae_checkpoint = "svd_vae"
    config.text_checkpoint = "openclip"
    config.preset = "venhancer"
    return config.lock()
