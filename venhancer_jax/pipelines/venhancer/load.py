"""Builds VEnhancer from weight folders, or abstract."""

from collections.abc import Mapping
from typing import Any

import jax
from etils import epath
from jax.sharding import Mesh

from venhancer_jax.assets import demo_weights
from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.networks import (
    abstract_network,
    compute_dtype,
    config_of,
    load_denoiser,
    load_network,
    load_text,
)
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures
from venhancer_jax.pipelines.venhancer.options import ControlledWeights, VEnhancerWeights
from venhancer_jax.pipelines.venhancer.system import VEnhancer
from venhancer_jax.sharding.mesh import inference_mesh


def load_venhancer(
    denoiser: epath.PathLike,
    vae: epath.PathLike,
    text: epath.PathLike | None,
    *,
    dtype: str = "auto",
    weights: str = "full",
    mesh: Mesh | None = None,
) -> VEnhancer:
    """Loads the system from converted weights.

    The text encoder is loaded when a prompt needs it, and freed again.

    Args:
      denoiser: weight folder of UNet and ControlNet, also `gs://`.
      vae: weight folder of the VAE.
      text: weight folder of the text encoder, or None for a model that has learned no text.
      dtype: type of weights and activations; `auto` is float32 on a CPU and bfloat16 elsewhere. The
        encoder of the VAE and the text encoder stay in float32.
      weights: `full`, or `int8` for a denoiser of 8-bit integers (`models/int8.py`).
      mesh: devices to run on, by default all; parameters are split over its `fsdp`.

    Raises:
      InputError: a folder holds no weights, or those of another network; unknown `dtype` or
        `weights`; `int8` without qwix.
    """
    return VEnhancer(
        **load_networks("venhancer", denoiser, vae, text, dtype=dtype, weights=weights, mesh=mesh)
    )


def load_networks(
    kind: str,
    denoiser: epath.PathLike,
    vae: epath.PathLike,
    text: epath.PathLike | None,
    *,
    dtype: str,
    weights: str,
    mesh: Mesh | None,
) -> dict[str, Any]:
    """Loads the networks that VEnhancer shares with other systems; see `load_venhancer`.

    Args:
      kind: name of the network of the denoiser.
      denoiser: weight folder of the denoiser, also `gs://`.
      vae: weight folder of the VAE.
      text: weight folder of the text encoder, or None for a model that has learned no text.
      dtype: type of weights and activations; `auto` is float32 on a CPU and bfloat16 elsewhere.
      weights: `full`, or `int8` for a denoiser of 8-bit integers.
      mesh: devices to run on, by default all.

    Returns:
      Fields of `VEnhancerNetworks` by name.

    Raises:
      InputError: a folder holds no weights, or those of another network; unknown `dtype` or
        `weights`; `int8` without qwix.
    """
    compute = compute_dtype(dtype)
    if mesh is None and jax.device_count() > 1:
        mesh = inference_mesh()
    unet = load_denoiser(kind, denoiser, mesh, dtype=compute, weights=weights)
    return {
        "denoiser": unet,
        "vae": load_network("vae", vae, mesh, dtype=compute),
        "text": null_text(unet.config.context_width) if text is None else load_text(text, mesh),
        "mesh": mesh,
    }


def demo_venhancer(**options: Any) -> VEnhancer:
    """Loads the small model that ships with the package (docs/model_card.md).

    Args:
      **options: `dtype`, `weights` and `mesh` of `load_venhancer`.
    """
    folder = demo_weights()
    return load_venhancer(folder / "venhancer", folder / "vae", None, **options)


def abstract_venhancer(
    weights: VEnhancerWeights, preset: Mapping[str, Any], mesh: Mesh
) -> VEnhancer:
    """Builds the system with shapes in place of parameters, for devices that need not exist.

    Args:
      weights: weight options; checkpoints that are weight folders determine the sizes of their
        networks, and `dtype="auto"` is bfloat16, as on all accelerators.
      preset: configs of the other networks, by role.
      mesh: devices.
    """
    return VEnhancer(**abstract_networks("venhancer", weights, preset, mesh))


def abstract_networks(
    kind: str, weights: ControlledWeights, preset: Mapping[str, Any], mesh: Mesh
) -> dict[str, Any]:
    """Builds the networks that VEnhancer shares with other systems, with shapes as parameters.

    Args:
      kind: name of the network of the denoiser.
      weights: weight options.
      preset: configs of networks without a weight folder, by role.
      mesh: devices.

    Returns:
      Fields of `VEnhancerNetworks` by name.
    """
    dtype = compute_dtype("bfloat16" if weights.dtype == "auto" else weights.dtype)
    unet = config_of(kind, weights.checkpoint, preset, dtype=dtype)
    vae = config_of("vae", weights.vae_checkpoint, preset, dtype=dtype)
    if weights.text_checkpoint == "none" or isinstance(preset["text"], NullTextConfig):
        text = null_text(unet.context_width)
    else:
        encoder = abstract_network("text", config_of("text", weights.text_checkpoint, preset), mesh)
        text = TextFeatures(encoder.config, lambda: encoder)
    return {
        "denoiser": abstract_network(kind, unet, mesh),
        "vae": abstract_network("vae", vae, mesh),
        "text": text,
        "mesh": mesh,
    }


def null_text(width: int) -> TextFeatures:
    """Returns the features of a model that has learned no text: one zero token."""
    config = NullTextConfig(width=width)
    encoder = LoadedNetwork(config, catalog.build("no_text", config), {})
    return TextFeatures(config, lambda: encoder)
