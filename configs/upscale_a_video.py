"""Upscale-A-Video with the published weights: text-guided super-resolution, four times.

    python sample.py --config=upscale_a_video --config.checkpoint=FOLDER --config.input=VIDEO

The weights are published on Google Drive only, under the S-Lab License 1.0, which allows no
commercial use: FOLDER is what the archive holds, with unet/, vae/, text_encoder/ and propagator/.
They are converted once.

More detail: --config.noise_level=150 --config.guidance_scale=9. Steadier: --config.video_vae=True
--config.propagation_steps=24,26,28. The published program with its quirks, for parity:
--config.compat=official. Captions: --config.prompt="a street at night", a file NAME.txt beside
NAME.mp4, --config.prompt_file, or --config.captioner=MODULE:FUNCTION.

A window of 8 frames takes 5.5 TFLOP a network call at 80x80 input pixels, 112 at 270x480; 30 steps
of two calls with guidance. Weights take 1.9 GiB in bfloat16, 3.8 GiB in float32.
"""

from ml_collections import ConfigDict

from venhancer_jax.pipelines.config import enhancement_config


def get_config() -> ConfigDict:
    config = enhancement_config("upscale_a_video")
    config.preset = "upscale_a_video"
    return config.lock()
