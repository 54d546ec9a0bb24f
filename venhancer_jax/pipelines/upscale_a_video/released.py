"""The parts of the published checkpoint folder, or of a folder of converted weights like it."""

from collections.abc import Mapping

from etils import epath

from venhancer_jax.diffusion.scheduler_config import SchedulerConfig, read_scheduler_config
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoWeights
from venhancer_jax.weights import is_weights

# Where each network lies, by role: published files, then folders of converted weights.
UNET = ("unet/unet_video.bin", "unet")
IMAGE_VAE = ("vae/vae_3d.bin", "vae")
VIDEO_VAE = ("vae/vae_video.bin", "vae_video")
TEXT = ("text_encoder/model.safetensors", "text_encoder/pytorch_model.bin", "text_encoder")
RAFT = ("propagator/raft-things.pth", "propagator")
SCHEDULER = "scheduler/scheduler_config.json"
LOW_RES_SCHEDULER = "low_res_scheduler/scheduler_config.json"

# Settings of the networks that an enhancement cannot do without.
_SETTINGS = {
    "upscale_a_video": "checkpoint",
    "vae": "vae_checkpoint",
    "text": "text_checkpoint",
}
_FOLDER = "expected the folder with unet/, vae/, text_encoder/ and propagator/"
_NOT_FETCHED = (
    "the weights of Upscale-A-Video are published on Google Drive only, under a licence for"
    " non-commercial use, and cannot be fetched: set --config.checkpoint=FOLDER;"
    f" {_FOLDER}"
)


def checkpoints(weights: UpscaleAVideoWeights) -> Mapping[str, str]:
    """Returns the checkpoint or weight folder of each network, by role.

    Raises:
      InputError: no checkpoint, a preset that has no weights, a folder that lacks a network, or a
        scheduler file with unknown values.
    """
    paths = {
        "upscale_a_video": "",
        "vae": weights.vae_checkpoint,
        "text": weights.text_checkpoint,
        "raft": weights.flow_checkpoint,
    }
    folder = released_folder(weights)
    if folder is None:
        paths["upscale_a_video"] = weights.checkpoint
        if not weights.checkpoint and weights.preset != "upscale_a_video":
            raise InputError(
                f"preset {weights.preset!r} has sizes but no weights: it is for --plan and"
                " training; set --config.checkpoint=FOLDER"
            )
        if not weights.checkpoint:
            raise InputError(f"no checkpoint: {_NOT_FETCHED}")
    names = {
        "upscale_a_video": UNET,
        "vae": VIDEO_VAE if weights.video_vae else IMAGE_VAE,
        "text": TEXT,
        "raft": RAFT,
    }
    if folder is not None:
        read_schedulers(folder)  # before anything is converted, which takes minutes
        paths |= {role: paths[role] or find_part(folder, parts) for role, parts in names.items()}
    elif "/" not in weights.checkpoint and not epath.Path(weights.checkpoint).exists():
        raise InputError(f"checkpoint {weights.checkpoint!r}: no such folder; {_FOLDER}")
    missing = [role for role, path in paths.items() if not path and role != "raft"]
    if missing:
        where = folder if folder is not None else "the settings"
        wanted = ", ".join(f"{role} ({names[role][0]})" for role in missing)
        raise InputError(
            f"{where}: no weights of {wanted}. Complete the folder, or set"
            f" --config.{_SETTINGS[missing[0]]}=FILE"
        )
    return {role: path for role, path in paths.items() if path}


def released_folder(weights: UpscaleAVideoWeights) -> epath.Path | None:
    """Returns the folder of all networks; None if the checkpoint is of the UNet alone."""
    if not weights.checkpoint or is_weights(weights.checkpoint):
        return None
    path = epath.Path(weights.checkpoint)
    return path if path.is_dir() else None


def find_part(folder: epath.Path, names: tuple[str, ...]) -> str:
    """Returns the path of a part of the folder by its possible names; empty without it."""
    for name in names:
        path = folder / name
        if path.is_file() or is_weights(path):
            return str(path)
    return ""


def read_schedulers(folder: epath.PathLike | None) -> tuple[SchedulerConfig, SchedulerConfig]:
    """Reads the schedulers of denoiser and low-resolution frames in the published checkpoint.

    Args:
      folder: folder of the checkpoint; a file that it lacks has the expected values.

    Raises:
      InputError: a file with values that are not supported.
    """
    found = []
    for name, sampling in ((SCHEDULER, True), (LOW_RES_SCHEDULER, False)):
        path = None if folder is None else epath.Path(folder) / name
        exists = path is not None and path.exists()
        found.append(
            read_scheduler_config(path, sampling=sampling) if exists else SchedulerConfig()
        )
    scheduler, low_res = found
    if scheduler.prediction_type != "v_prediction":
        raise InputError(
            f"{folder}/{SCHEDULER}: prediction_type {scheduler.prediction_type!r}, expected"
            " 'v_prediction', which the networks of this system predict"
        )
    return scheduler, low_res
