"""Wrong inputs of Upscale-A-Video."""

import json

from benchmarks.wrong_inputs.case import Case
from benchmarks.wrong_inputs.shared import CLIP, SMALL_VAE, WrongInputs

# Folders that lack the networks that they are named after.
_LACKS = {"unet": "unet", "vae": "vae", "video_vae": "vae_video", "text": "text_encoder"}
_FOLDERS = {
    "unet": "upscale_a_video",
    "vae": "vae",
    "vae_video": "video_vae",
    "text_encoder": "text",
    "propagator": "raft",
}
_SCHEDULER = {
    "beta_schedule": "scaled_linear", "beta_start": 1e-4, "beta_end": 0.02, "clip_sample": False,
    "prediction_type": "v_prediction", "set_alpha_to_one": False, "steps_offset": 1,
    "num_train_timesteps": 1000,
}  # fmt: skip
_SCHEDULERS = {
    "beta_schedule": "linear",
    "beta_end": 2,
    "prediction_type": "epsilon",
    "steps_offset": -1,
    "set_alpha_to_one": "no",
    "num_train_timesteps": 500,
    "timestep_spacing": "trailing",
}
_RELEASED = ("unet/unet_video.bin", "vae/vae_3d.bin", "text_encoder/pytorch_model.bin")


def _case(settings: str, message: str) -> Case:
    return Case(" ".join(f"--config.{each}" for each in settings.split()), message)


INPUTS = WrongInputs(
    weights={f"weights/{folder}": role for folder, role in _FOLDERS.items()},
    files={
        "weights/not_json/scheduler/scheduler_config.json": "{",
        "captioners.py": "def number(frame):\n    return 3\n\n\ntext = 'a cat'\n",
        **{f"released/{part}": "no weights" for part in _RELEASED},
        **{
            f"weights/scheduler_{key}/scheduler/scheduler_config.json": json.dumps(
                _SCHEDULER | {key: value}
            )
            for key, value in _SCHEDULERS.items()
        },
    },
    copies={
        **{
            f"lacks/{name}/{folder}": f"weights/{folder}"
            for name, lacking in _LACKS.items()
            for folder in _FOLDERS
            if folder != lacking
        },
        **{f"no_raft/{f}": f"weights/{f}" for f in _FOLDERS if f != "propagator"},
        **{
            f"weights/{name}/{folder}": f"weights/{folder}"
            for name in ("not_json", *(f"scheduler_{key}" for key in _SCHEDULERS))
            for folder in _FOLDERS
        },
        "another/unet/unet_video.bin": SMALL_VAE,
        **{f"another/{f}": f"weights/{f}" for f in _FOLDERS if f != "unet"},
        "mixed/unet": "weights/vae",
        **{f"mixed/{f}": f"weights/{f}" for f in _FOLDERS if f != "unet"},
        "half_released/unet/unet_video.bin": "text.mp4",
    },
    arguments={
        "sample": [
            "--config=upscale_a_video",
            f"--config.input={CLIP}",
            "--config.output=out.mp4",
            "--config.checkpoint=weights",
            "--config.max_frames=2",
            "--config.steps=2",
        ],
        "train": ["--config=train_upscale_a_video_debug", "--workdir=run", "--config.steps=1"],
    },
    cases=(
        _case("checkpoint=", "published on Google Drive only, under a licence"),
        _case("checkpoint=gone", "checkpoint 'gone': no such folder; expected the folder with"),
        _case("checkpoint=lacks/unet", "no weights of upscale_a_video (unet/unet_video.bin)"),
        _case("checkpoint=lacks/vae", "no weights of vae (vae/vae_3d.bin)"),
        _case("checkpoint=lacks/video_vae video_vae=True", "no weights of vae (vae/vae_video.bin)"),
        _case("checkpoint=lacks/text", "no weights of text (text_encoder/model.safetensors)"),
        _case("checkpoint=weights/unet", "no weights of vae"),
        _case("checkpoint=another", "it looks like a checkpoint of 'vae'"),
        _case("checkpoint=mixed", "holds the weights of 'vae', not of 'upscale_a_video'"),
        _case("checkpoint=released", "unet_video.bin"),
        _case(
            f"checkpoint={SMALL_VAE} vae_checkpoint=weights/vae"
            " text_checkpoint=weights/text_encoder",
            "it looks like a checkpoint of 'vae'",
        ),
        _case("vae_checkpoint=weights/unet", "holds the weights of 'upscale_a_video', not of"),
        _case("flow_checkpoint=gone.pth propagation_steps=1", "checkpoint 'gone.pth': no such"),
        _case("checkpoint=weights/not_json", "is no scheduler_config.json"),
        *(
            _case(f"checkpoint=weights/scheduler_{key}", f"{key} = {json.dumps(value)}, expected")
            if key != "prediction_type"
            else _case(f"checkpoint=weights/scheduler_{key}", f"{key} {value!r}, expected")
            for key, value in _SCHEDULERS.items()
        ),
        _case("noise_level=351", "noise_level 351: expected a whole number from 0 to 350"),
        _case("noise_level=-1", "noise_level -1: expected a whole number from 0 to 350"),
        _case("steps=1000", "steps 1000: expected a whole number from 1 to 999"),
        _case("propagation_steps=1,2", "propagation_steps 2: expected indices from 0 to 1"),
        _case("propagation_steps=late", "propagation_steps ('late',): expected indices of steps"),
        _case("propagation_steps=1 flow=none", "flow 'none': expected raft or dis"),
        _case("propagation_steps=1 checkpoint=no_raft", "expected the weights of RAFT"),
        _case("flow=lucas", "flow 'lucas': expected one of raft, dis, none"),
        _case("compat=official up_scale=2", "up_scale 2: compat 'official' enlarges exactly 4"),
        _case("compat=official fps_scale=2", "compat 'official' keeps the rate"),
        _case("compat=official propagation_steps=1", "computes no optical flow; expected at least"),
        _case("compat=official tile=96 tile_overlap=72", "expected more than 72 pixels on both"),
        _case("tile=8", "tile '8': expected auto, none, or a whole number of at least 16 pixels"),
        _case("window=8 window_overlap=8", "window_overlap 8: expected less than window, 8"),
        _case("decode_chunk=0", "decode_chunk 0: expected a whole number from 1"),
        _case("captioner=mine", "captioner 'mine': cannot be imported"),
        _case("captioner=gone:caption", "captioner 'gone:caption': cannot be imported"),
        Case("--config.height=62", "expected 4 times as large", "train"),
        Case("--config.augment.noise_levels=1,400", "expected at most 351", "train"),
        Case("--config.augment.strides=1,2", "expected (1,), every frame", "train"),
        Case("--config.trainable=controlnet", "controlnet", "train"),
        Case("--config.prior=weights/vae", "'vae'", "train"),
        Case("upscale_a_video half_released to", "half_released lacks", "convert"),
        Case("upscale_a_video nothing_here to", "nothing_here lacks", "convert"),
        Case(f"upscale_a_video {SMALL_VAE} to", "it looks like a checkpoint of 'vae'", "convert"),
    ),
)
