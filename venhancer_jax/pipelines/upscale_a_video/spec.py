"""Upscale-A-Video in the registry: options, networks, presets, and how they are loaded."""

from collections.abc import Mapping
from typing import Any

from etils import epath
from jax.sharding import Mesh

from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.raft.raft import RaftConfig
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.models.upscale_a_video.config import UpscaleUNetConfig
from venhancer_jax.models.upscale_a_video.unet import UpscaleUNet
from venhancer_jax.pipelines.system import Clip, NetworkKind, Output, SystemSpec
from venhancer_jax.pipelines.upscale_a_video.options import (
    UpscaleAVideoOptions,
    UpscaleAVideoWeights,
)
from venhancer_jax.pipelines.upscale_a_video.plan import SCALE, plan_clip
from venhancer_jax.pipelines.upscale_a_video.released import checkpoints, released_folder

_TINY = {
    "vae": VAEConfig.x4_image(channels=(16, 32, 32), blocks_per_level=1, groups=8),
    "video_vae": VAEConfig.x4_image(
        channels=(16, 32, 32), blocks_per_level=1, groups=8, condition_channels=16
    ),
    "text": ClipTextConfig.tiny().only_used(),
    "raft": RaftConfig.tiny(),
}
_WIDTH = _TINY["text"].width

PRESETS: dict[str, dict[str, Any]] = {
    # The least that has every kind of layer: compiles in seconds.
    "debug": {"upscale_a_video": UpscaleUNetConfig.tiny(context_width=_WIDTH), **_TINY},
    "tiny": {"upscale_a_video": UpscaleUNetConfig.reduced(context_width=_WIDTH), **_TINY},
    "upscale_a_video": {
        "upscale_a_video": UpscaleUNetConfig.upscale_a_video(),
        "vae": VAEConfig.x4_image(),
        "video_vae": VAEConfig.x4_video(),
        "text": ClipTextConfig.x4_upscaler(),
        "raft": RaftConfig(),
    },
}


def plan_output(clip: Clip, options: UpscaleAVideoOptions) -> Output:
    """Computes the output of a clip without knowing the networks.

    Raises:
      InputError: options that do not fit the clip.
    """
    return plan_clip(clip, options).output


def load(
    folders: Mapping[str, epath.PathLike], weights: UpscaleAVideoWeights, *, mesh: Mesh | None
) -> Any:
    """Loads the system from weight folders by role; see `load.load_upscale_a_video`."""
    from venhancer_jax.pipelines.upscale_a_video.load import load_upscale_a_video

    return load_upscale_a_video(
        folders["upscale_a_video"],
        folders["vae"],
        folders["text"],
        folders.get("raft"),
        schedulers=released_folder(weights),
        dtype=weights.dtype,
        weights=weights.weights,
        mesh=mesh,
    )


def load_abstract(weights: UpscaleAVideoWeights, *, mesh: Mesh) -> Any:
    """Builds the system with shapes in place of parameters; see `load.abstract_upscale_a_video`."""
    from venhancer_jax.pipelines.upscale_a_video.load import abstract_upscale_a_video

    preset = PRESETS[weights.preset]
    vae = preset["video_vae" if weights.video_vae else "vae"]
    return abstract_upscale_a_video(weights, {**preset, "vae": vae}, mesh)


SPEC = SystemSpec(
    name="upscale_a_video",
    options=UpscaleAVideoOptions,
    weights=UpscaleAVideoWeights,
    networks={"upscale_a_video": NetworkKind(config=UpscaleUNetConfig, module=UpscaleUNet)},
    presets=PRESETS,
    output=plan_output,
    checkpoints=checkpoints,
    load=load,
    load_abstract=load_abstract,
    planned_scale=SCALE,
    training="venhancer_jax.training.upscale_a_video",
    conversion="venhancer_jax.convert.upscale_a_video",
    parity="venhancer_jax.convert.parity.upscale_a_video",
)
