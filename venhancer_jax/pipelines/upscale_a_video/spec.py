"""Upscale-A-Video in the registry: options, networks, presets, and how they are loaded."""

from collections.abc import Mapping
from typing import Any

from etils import epath
from jax.sharding import Mesh

from venhancer_jax.errors import InputError
from venhancer_jax.models.upscale_a_video.config import UpscaleUNetConfig
from venhancer_jax.models.upscale_a_video.unet import UpscaleUNet
from venhancer_jax.pipelines.system import Clip, NetworkKind, Output, SystemSpec
from venhancer_jax.pipelines.upscale_a_video.options import (
    UpscaleAVideoOptions,
    UpscaleAVideoWeights,
)

PRESETS: dict[str, dict[str, Any]] = {}


def plan_output(clip: Clip, options: UpscaleAVideoOptions) -> Output:
    """Computes the output of a clip without knowing the networks."""
    raise InputError("not yet")


def checkpoints(weights: UpscaleAVideoWeights) -> Mapping[str, str]:
    """Returns the checkpoint or weight folder of each network, by role."""
    raise InputError("not yet")


def load(
    folders: Mapping[str, epath.PathLike], weights: UpscaleAVideoWeights, *, mesh: Mesh | None
) -> Any:
    """Loads the system from weight folders by role."""
    raise InputError("not yet")


def load_abstract(weights: UpscaleAVideoWeights, *, mesh: Mesh) -> Any:
    """Builds the system with shapes in place of parameters."""
    raise InputError("not yet")


SPEC = SystemSpec(
    name="upscale_a_video",
    options=UpscaleAVideoOptions,
    weights=UpscaleAVideoWeights,
    networks={
        "upscale_a_video": NetworkKind(config=UpscaleUNetConfig, module=UpscaleUNet),
    },
    presets=PRESETS,
    output=plan_output,
    checkpoints=checkpoints,
    load=load,
    load_abstract=load_abstract,
    conversion="venhancer_jax.convert.upscale_a_video",
    parity="venhancer_jax.convert.parity.upscale_a_video",
)
