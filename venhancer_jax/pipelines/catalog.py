"""Networks by the names that weight folders store, and their sizes as JSON."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from venhancer_jax.errors import InputError
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.autoencoders.vae import VAE
from venhancer_jax.models.functional import Constructor, FunctionalModule, functionalize
from venhancer_jax.models.raft.raft import Raft, RaftConfig
from venhancer_jax.models.text.clip import ClipTextConfig, ClipTextEncoder
from venhancer_jax.models.text.null import NullTextConfig, NullTextEncoder
from venhancer_jax.pipelines.registry import all_systems
from venhancer_jax.pipelines.system import NetworkKind

# A config of any network, a frozen dataclass.
Config = Any

# How a network computes is the choice of a run; all other fields are sizes.
RUNTIME_FIELDS = ("dtype", "encoder_dtype", "attention", "temporal_pixels_at_once", "remat")

_SHARED = {
    "vae": NetworkKind(config=VAEConfig, module=VAE),
    "text": NetworkKind(config=ClipTextConfig, module=ClipTextEncoder),
    "raft": NetworkKind(config=RaftConfig, module=Raft),
    "no_text": NetworkKind(config=NullTextConfig, module=NullTextEncoder),
}


def networks() -> dict[str, NetworkKind]:
    """Returns all networks by name: the shared ones, then those of each system."""
    found = dict(_SHARED)
    for spec in all_systems():
        found |= spec.networks
    return found


def build(name: str, config: Config) -> FunctionalModule:
    """Builds a network without parameters; equal names and configs give equal networks."""
    return functionalize(Constructor(networks()[name].module, config))


def config_class(name: str) -> type[Config]:
    """Returns the config class of a network, whose defaults are the published sizes."""
    return networks()[name].config


def config_to_dict(config: Config) -> dict[str, Any]:
    """Returns the sizes of a config as JSON values."""
    facts = dataclasses.asdict(config)
    return {name: value for name, value in facts.items() if name not in RUNTIME_FIELDS}


def config_from_dict(name: str, sizes: Any, **runtime: Any) -> Config:
    """Builds the config of a network.

    Args:
      name: name of the network.
      sizes: result of `config_to_dict`, possibly read from JSON.
      **runtime: values of `RUNTIME_FIELDS`.

    Raises:
      InputError: unknown network or size.
    """
    if name not in networks():
        raise InputError(f"unknown network {name!r}: expected one of {', '.join(networks())}")
    if not isinstance(sizes, Mapping):
        raise InputError(f"the sizes of the network {name!r} are {sizes!r}: expected a table")
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in sizes.items()}
    try:
        return config_class(name)(**values, **runtime)
    except TypeError as error:
        raise InputError(f"the network {name!r} has no such size ({error})") from None
