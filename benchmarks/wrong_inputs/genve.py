"""Wrong inputs of GenVE."""

import cv2
import numpy as np
from safetensors.numpy import save

from benchmarks.wrong_inputs.case import Case
from benchmarks.wrong_inputs.shared import CLIP, SMALL_VAE, WrongInputs


def _case(settings: str, message: str) -> Case:
    return Case(" ".join(f"--config.{each}" for each in settings.split()), message)


def _png(height: int, width: int) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


def _unet(channels: int, context: int) -> bytes:
    """Returns a checkpoint that has what tells image UNets of diffusers apart."""
    return save(
        {
            "conv_in.weight": np.zeros((32, channels, 3, 3), np.float32),
            "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight": np.zeros(
                (32, context), np.float32
            ),
        }
    )


# The clip has 128x72 pixels.
_SHARP = _png(144, 256)
_ROLES = ("genve", "venhancer", "vae", "text", "sd21")

INPUTS = WrongInputs(
    weights={f"weights/{role}": role for role in _ROLES},
    files={
        "sharp.png": _SHARP,
        "half.png": _SHARP[: len(_SHARP) // 2],
        "square.png": _png(144, 144),
        "text.png": "no picture\n" * 100,
        "inpainting.safetensors": _unet(9, 1024),
        "sd15.safetensors": _unet(4, 768),
    },
    arguments={
        "sample": [
            "--config=genve",
            f"--config.input={CLIP}",
            "--config.output=out.mp4",
            "--config.checkpoint=weights/genve",
            "--config.vae_checkpoint=weights/vae",
            "--config.text_checkpoint=weights/text",
            "--config.flow=dis",
            "--config.max_frames=2",
            "--config.steps=2",
        ],
        "train": ["--config=train_genve_debug", "--workdir=run", "--config.steps=1"],
    },
    cases=(
        _case("reference=", "reference '': expected prior, sd21, none, or the file of a picture"),
        _case("reference=gone.png", "reference 'gone.png': no such file"),
        _case(f"reference={CLIP}", f"reference {CLIP}: expected a picture"),
        _case("reference=nothing_here", "reference 'nothing_here': no such file"),
        _case("reference=text.png", "text.png"),
        _case("reference=half.png", "half.png"),
        _case(
            "reference=square.png", "square.png: 144x144 pixels, expected the aspect of the clip"
        ),
        _case("key_frame=2", "key_frame 2: expected an index below 2, the number of frames"),
        _case("key_frame=-2", "key_frame -2: expected a whole number from -1"),
        _case("key_frame=1 key_every=4", "key_frame 1: expected -1 with key_every, 4"),
        _case("key_every=4 reference=sharp.png", "key_every 4: expected 0 with the picture"),
        _case("noise_aug=501", "noise_aug 501: expected a whole number from 0 to 500"),
        _case("noise_aug=-1", "noise_aug -1: expected a whole number from 0 to 500"),
        _case("image_start=0", "image_start 0: expected a whole number from 1 to 999"),
        _case("image_start=1000", "image_start 1000: expected a whole number from 1 to 999"),
        _case("image_steps=601", "image_steps 601: expected at most image_start, 600"),
        _case("image_guidance=nan", "image_guidance nan: expected a number from 0 to 100"),
        _case("flow=lucas", "flow 'lucas': expected one of raft, dis"),
        _case("flow=raft", "flow 'raft': expected the weights of RAFT"),
        _case("reference=sd21", "reference 'sd21': expected the weights of Stable Diffusion 2.1"),
        _case("image_checkpoint=weights/vae", "holds the weights of 'vae', not of 'sd21'"),
        _case("image_checkpoint=inpainting.safetensors", "9 input channels, expected 4"),
        _case("image_checkpoint=sd15.safetensors", "text features of 768 channels, expected 1024"),
        _case("checkpoint=weights/venhancer", "attends to no reference"),
        _case("checkpoint= preset=demo text_checkpoint=none", "attends to no reference"),
        _case("checkpoint=", "no weights of GenVE are published"),
        _case("checkpoint=weights/vae", "holds the weights of 'vae', not of 'genve'"),
        _case(f"checkpoint={SMALL_VAE}", "it looks like a checkpoint of 'vae'"),
        _case("target_fps=60", "target_fps 60: 60 frames per second from 15; expected at most"),
        _case("fps_scale=2", "fps_scale 2.0: 30 frames per second from 15; expected at most"),
        _case("compat=official", "compat 'official': expected one of default"),
        _case("interpolation=flow", "config.interpolation: an option of system 'venhancer'"),
        _case("version=v1", "config.version: an option of system 'venhancer'"),
        _case("noise_level=9", "config.noise_level: an option of system 'upscale_a_video'"),
    ),
)
