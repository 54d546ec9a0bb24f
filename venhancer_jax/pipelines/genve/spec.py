"""GenVE in the registry: options, networks, presets, and how they are loaded."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from etils import epath
from jax.sharding import Mesh

from venhancer_jax import weights as stored
from venhancer_jax.errors import InputError
from venhancer_jax.models.genve.config import GenVEConfig
from venhancer_jax.models.genve.network import GuidedUNet
from venhancer_jax.models.genve.sd21 import SD21Config
from venhancer_jax.models.raft.raft import RaftConfig
from venhancer_jax.models.upscale_a_video.unet import UpscaleUNet
from venhancer_jax.pipelines.genve.key_frames import check_key_frame
from venhancer_jax.pipelines.genve.options import GenVEOptions, GenVEWeights
from venhancer_jax.pipelines.genve.picture import check_picture
from venhancer_jax.pipelines.system import Clip, NetworkKind, Output, SystemSpec
from venhancer_jax.pipelines.venhancer.plan import plan_clip
from venhancer_jax.pipelines.venhancer.spec import PRESETS as VENHANCER_PRESETS

# Enlargement of a clip that is planned by the size of its output: optical flow is of the input.
_PLANNED_SCALE = 4


def _preset(name: str, raft: RaftConfig, image: SD21Config) -> dict[str, Any]:
    shared = dict(VENHANCER_PRESETS[name])
    unet = GenVEConfig.from_unet(shared["venhancer"])
    image = dataclasses.replace(image, context_width=unet.context_width)
    return {"genve": unet, **shared, "raft": raft, "sd21": image}


PRESETS: dict[str, dict[str, Any]] = {
    "debug": _preset("debug", RaftConfig.tiny(), SD21Config.tiny()),
    "tiny": _preset("tiny", RaftConfig.tiny(), SD21Config.tiny()),
    "demo": _preset("demo", RaftConfig(), SD21Config()),
    "genve": _preset("venhancer", RaftConfig(), SD21Config()),
}


def plan_output(clip: Clip, options: GenVEOptions) -> Output:
    """Computes the output of a clip without knowing the networks.

    Raises:
      InputError: options that do not fit the clip, such as a picture of another aspect.
    """
    output = plan_clip(clip, options).output
    check_key_frame(options, clip.frames)
    if options.picture is not None:
        check_picture(options.picture, clip.height, clip.width)
    return output


def checkpoints(weights: GenVEWeights) -> Mapping[str, str]:
    """Returns the checkpoint or weight folder of each network, by role.

    Raises:
      InputError: no checkpoint, or a preset that has no weights.
    """
    if weights.preset in ("debug", "tiny") and not weights.checkpoint:
        raise InputError(
            f"preset {weights.preset!r} has sizes but no weights: it is for --plan and training;"
            " set --config.checkpoint=FOLDER"
        )
    if weights.preset == "genve" and not weights.checkpoint:
        raise InputError(
            "no checkpoint: no weights of GenVE are published; set --config.checkpoint=FOLDER of a"
            " training (configs/train_genve.py). Without a reference VEnhancer's serve:"
            " --config.reference=none --config.checkpoint=venhancer_v2"
        )
    found = {
        denoiser_kind(weights): weights.checkpoint,
        "vae": weights.vae_checkpoint or "svd_vae",
        "text": weights.text_checkpoint or "openclip",
        "raft": weights.flow_checkpoint,
        "sd21": weights.image_checkpoint,
    }
    if weights.preset == "demo":
        from venhancer_jax.assets import demo_weights

        found["vae"] = weights.vae_checkpoint or str(demo_weights() / "vae")
        found["text"] = weights.text_checkpoint
        if not weights.checkpoint:
            found["venhancer"] = str(demo_weights() / "venhancer")
    if found["text"] == "none":
        del found["text"]
    return {role: checkpoint for role, checkpoint in found.items() if checkpoint}


def denoiser_kind(weights: GenVEWeights) -> str:
    """Returns the network of the checkpoint: `genve`, or `venhancer` without a reference."""
    if not weights.checkpoint:
        return "venhancer" if weights.preset == "demo" else "genve"
    if not stored.is_weights(weights.checkpoint):
        return "venhancer"
    network = stored.read_about(weights.checkpoint).get("network")
    return "venhancer" if network == "venhancer" else "genve"


def load(folders: Mapping[str, epath.PathLike], weights: GenVEWeights, *, mesh: Mesh | None) -> Any:
    """Loads the system from weight folders by role; see `load.load_genve`."""
    from venhancer_jax.pipelines.genve.load import load_genve

    kind = denoiser_kind(weights)
    return load_genve(
        folders[kind],
        folders["vae"],
        folders.get("text"),
        folders.get("raft"),
        folders.get("sd21"),
        kind=kind,
        dtype=weights.dtype,
        weights=weights.weights,
        mesh=mesh,
    )


def load_abstract(weights: GenVEWeights, *, mesh: Mesh) -> Any:
    """Builds the system with shapes in place of parameters; see `load.abstract_genve`."""
    from venhancer_jax.pipelines.genve.load import abstract_genve

    kind = denoiser_kind(weights) if stored.is_weights(weights.checkpoint or "") else "genve"
    return abstract_genve(kind, weights, PRESETS[weights.preset], mesh)


SPEC = SystemSpec(
    name="genve",
    options=GenVEOptions,
    weights=GenVEWeights,
    networks={
        "genve": NetworkKind(config=GenVEConfig, module=GuidedUNet),
        "sd21": NetworkKind(config=SD21Config, module=UpscaleUNet),
    },
    presets=PRESETS,
    output=plan_output,
    checkpoints=checkpoints,
    load=load,
    load_abstract=load_abstract,
    planned_scale=_PLANNED_SCALE,
    training="venhancer_jax.training.genve",
    conversion="venhancer_jax.convert.sd21",
)
