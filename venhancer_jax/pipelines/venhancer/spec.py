"""VEnhancer in the registry: options, networks, presets, and how they are loaded."""

from collections.abc import Mapping
from typing import Any

from etils import epath
from jax.sharding import Mesh

from venhancer_jax.errors import InputError
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.models.venhancer.controlnet import ControlledUNet
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines.system import Clip, NetworkKind, Output, SystemSpec
from venhancer_jax.pipelines.venhancer.options import (
    PUBLISHED,
    VEnhancerOptions,
    VEnhancerWeights,
)
from venhancer_jax.pipelines.venhancer.plan import plan_clip

PRESETS: dict[str, dict[str, Any]] = {
    # The least that has every kind of layer: only the middle has spatial transformers.
    "debug": {
        "venhancer": UNet3DConfig.tiny(
            width=64, multipliers=(1, 1), blocks_per_level=1, attention_levels=()
        ),
        "vae": VAEConfig.tiny(channels=(16, 16, 32)),
        "text": ClipTextConfig.tiny().only_used(),
    },
    # Width 32 would leave one channel to a norm group, which cancels the time embedding.
    "tiny": {
        "venhancer": UNet3DConfig.tiny(width=64),
        "vae": VAEConfig.tiny(),
        "text": ClipTextConfig.tiny().only_used(),
    },
    # The model that ships with the package.
    "demo": {
        "venhancer": UNet3DConfig.demo(),
        "vae": VAEConfig.demo(),
        "text": NullTextConfig(width=UNet3DConfig.demo().context_width),
    },
    "venhancer": {
        "venhancer": UNet3DConfig.venhancer(),
        "vae": VAEConfig.svd(),
        "text": ClipTextConfig.vit_h_14().only_used(),
    },
}


def plan_output(clip: Clip, options: VEnhancerOptions) -> Output:
    """Computes the output of a clip without knowing the networks.

    Raises:
      InputError: options that do not fit the clip.
    """
    return plan_clip(clip, options).output


def checkpoints(weights: VEnhancerWeights) -> Mapping[str, str]:
    """Returns the checkpoint or weight folder of each network, by role.

    Raises:
      InputError: a preset that has no weights.
    """
    if weights.preset == "demo" and not weights.checkpoint:
        from venhancer_jax.assets import demo_weights

        return {name: str(demo_weights() / name) for name in ("venhancer", "vae")}
    if weights.preset in ("debug", "tiny") and not weights.checkpoint:
        raise InputError(
            f"preset {weights.preset!r} has sizes but no weights: it is for --plan and training;"
            " set --config.checkpoint=FOLDER"
        )
    found = {
        "venhancer": weights.checkpoint or PUBLISHED[weights.version],
        "vae": weights.vae_checkpoint or "svd_vae",
        "text": weights.text_checkpoint or "openclip",
    }
    if weights.text_checkpoint == "none":
        del found["text"]
    return found


def load(
    folders: Mapping[str, epath.PathLike], weights: VEnhancerWeights, *, mesh: Mesh | None
) -> Any:
    """Loads the system from weight folders by role; see `load.load_venhancer`."""
    from venhancer_jax.pipelines.venhancer.load import load_venhancer

    return load_venhancer(
        folders["venhancer"],
        folders["vae"],
        folders.get("text"),
        dtype=weights.dtype,
        weights=weights.weights,
        mesh=mesh,
    )


def load_abstract(weights: VEnhancerWeights, *, mesh: Mesh) -> Any:
    """Builds the system with shapes in place of parameters; see `load.abstract_venhancer`."""
    from venhancer_jax.pipelines.venhancer.load import abstract_venhancer

    return abstract_venhancer(weights, PRESETS[weights.preset], mesh)


SPEC = SystemSpec(
    name="venhancer",
    options=VEnhancerOptions,
    weights=VEnhancerWeights,
    networks={"venhancer": NetworkKind(config=UNet3DConfig, module=ControlledUNet)},
    presets=PRESETS,
    output=plan_output,
    checkpoints=checkpoints,
    load=load,
    load_abstract=load_abstract,
    training="venhancer_jax.training.venhancer",
    conversion="venhancer_jax.convert.venhancer",
    parity="venhancer_jax.convert.parity.venhancer",
)
