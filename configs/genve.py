"""GenVE: enhancement guided by a sharp picture of a key frame.

    python sample.py --config=genve --config.checkpoint=FOLDER --config.input=VIDEO

FOLDER holds the weights of a training (configs/train_genve.py): none are published. The key frame
is the middle one, and the video prior sharpens it. Your own sharp picture of a frame:
--config.reference=PICTURE.png --config.key_frame=12. More freedom: --config.noise_aug=300. Long
clips have a key frame in each segment; more: --config.key_every=16.

The optical flow from the key frame to others is RAFT's, with --config.flow_checkpoint=FILE (that of
Upscale-A-Video); --config.flow=dis needs no weights. Without a reference VEnhancer's weights serve:
--config.reference=none --config.checkpoint=venhancer_v2; with --config.enlargement=bilinear results
are those of VEnhancer with the same settings.

A window of 32 frames at 720p takes the 28 network calls of VEnhancer, 258 TFLOP each, and 60 of a
single frame.
"""

from ml_collections import ConfigDict

from venhancer_jax.pipelines.config import enhancement_config


def get_config() -> ConfigDict:
    config = enhancement_config("genve")
    config.preset = "genve"
    config.enlargement = "bicubic"
    return config.lock()
