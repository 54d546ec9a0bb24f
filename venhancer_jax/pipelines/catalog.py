"""The networks by name, and their configs as JSON facts."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from flax import nnx

from venhancer_jax.errors import InputError
from venhancer_jax.models.autoencoders.vae import VAE, VAEConfig
from venhancer_jax.models.functional import FunctionalModule, functionalize
from venhancer_jax.models.text.clip import ClipTextConfig, ClipTextEncoder
from venhancer_jax.models.text.null import NullTextConfig, NullTextEncoder
from venhancer_jax.models.venhancer.controlnet import ControlledUNet
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig

Config = UNet3DConfig | VAEConfig | ClipTextConfig | NullTextConfig

# How a network computes is up to whoever runs it; all else is its size.
RUNTIME_FIELDS = ("dtype", "encoder_dtype", "attention", "temporal_pixels_at_once", "remat")

_NETWORKS: dict[str, tuple[type[Config], Callable[[Any, nnx.Rngs], nnx.Module]]] = {
    "venhancer": (UNet3DConfig, ControlledUNet),
    "vae": (VAEConfig, VAE),
    "text": (ClipTextConfig, ClipTextEncoder),
    "no_text": (NullTextConfig, NullTextEncoder),
}
NAMES = tuple(_NETWORKS)


def build(name: str, config: Config) -> FunctionalModule:
    """The network of that name and config, without parameters."""
    _, module = _NETWORKS[name]
    return functionalize(functools.partial(module, config))


def config_class(name: str) -> type[Config]:
    """The config class, whose defaults are the published sizes."""
    return _NETWORKS[name][0]


def config_to_dict(config: Config) -> dict[str, Any]:
    """The sizes of a config."""
    facts = dataclasses.asdict(config)
    return {name: value for name, value in facts.items() if name not in RUNTIME_FIELDS}


def config_from_dict(name: str, facts: Mapping[str, Any], **runtime: Any) -> Config:
    """The config with these sizes.

    Args:
      name: of the network.
      facts: what `config_to_dict` gives, also after a way through JSON.
      **runtime: values of `RUNTIME_FIELDS`.

    Raises:
      InputError: unknown network or size.
    """
    if name not in _NETWORKS:
        raise InputError(f"unknown network {name!r}: expected one of {', '.join(NAMES)}")
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in facts.items()}
    try:
        return config_class(name)(**values, **runtime)
    except TypeError as error:
        raise InputError(f"the network {name!r} has no such size ({error})") from None
