"""Networks with parameters, from weight folders or abstract."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath
from jax.sharding import Mesh

from venhancer_jax import weights as stored
from venhancer_jax.errors import InputError
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.functional import FunctionalModule
from venhancer_jax.models.int8 import quantised
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.options import DTYPES, WEIGHTS
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures
from venhancer_jax.sharding.params import fsdp_sharding


def compute_dtype(name: str) -> jnp.dtype:
    """Returns the type that a name means on this machine.

    Raises:
      InputError: unknown name.
    """
    if name not in DTYPES:
        raise InputError(f"dtype {name!r}: expected one of {', '.join(DTYPES)}")
    if name == "auto":
        name = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(name)


def load_network(
    kind: str, folder: epath.PathLike, mesh: Mesh | None, **runtime: Any
) -> LoadedNetwork:
    """Loads a network.

    Args:
      kind: name of the network that the folder must hold.
      folder: weight folder, local or `gs://`.
      mesh: devices, over whose `fsdp` parameters are split; None for one device.
      **runtime: runtime fields of the network's config, such as `dtype`.

    Raises:
      InputError: no weights there, or those of another network.
    """
    config = stored_config(kind, folder, **runtime)
    try:
        network = catalog.build(kind, config)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise InputError(
            f"{folder}: no {kind} network has the sizes in {stored.INDEX} ({error}). Copy, download"
            " or convert the weights again"
        ) from error
    shapes = param_shapes(config, network)
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    sharding = one if mesh is None else fsdp_sharding(mesh, shapes)
    return LoadedNetwork(config, network, stored.load_weights(folder, shapes, sharding=sharding))


def load_denoiser(
    kind: str, folder: epath.PathLike, mesh: Mesh | None, *, dtype: jnp.dtype, weights: str
) -> LoadedNetwork:
    """Loads a denoiser, in the requested numbers.

    Args:
      kind: name of the network that the folder must hold.
      folder: weight folder, local or `gs://`.
      mesh: devices, over whose `fsdp` parameters are split; None for one device.
      dtype: type of weights and activations.
      weights: `full`, or `int8` for a network of 8-bit integers (`models/int8.py`).

    Raises:
      InputError: no weights there, or those of another network; unknown `weights`; `int8` without
        qwix.
    """
    if weights not in WEIGHTS:
        raise InputError(f"weights {weights!r}: expected one of {', '.join(WEIGHTS)}")
    full = load_network(kind, folder, mesh, dtype=dtype)
    if weights == "full":
        return full
    network, params = quantised(full.network, full.params, full.config)
    return LoadedNetwork(full.config, network, params)


def load_text(folder: epath.PathLike, mesh: Mesh | None) -> TextFeatures:
    """Returns the features of a text encoder, which is loaded when a text needs it.

    Raises:
      InputError: no weights there, or those of another network.
    """
    load = functools.partial(load_network, "text", folder, mesh)
    return TextFeatures(stored_config("text", folder), load)


def abstract_network(kind: str, config: Any, mesh: Mesh) -> LoadedNetwork:
    """Builds a network with a `jax.ShapeDtypeStruct` for each parameter."""
    network = catalog.build(kind, config)
    shapes = param_shapes(config, network)
    shardings = fsdp_sharding(mesh, shapes)
    params = {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=shardings[name])
        for name, x in shapes.items()
    }
    return LoadedNetwork(config, network, params)


def stored_config(kind: str, folder: epath.PathLike, **runtime: Any) -> Any:
    """Returns the config of the network in a weight folder.

    Raises:
      InputError: no weights there, or those of another network.
    """
    if not stored.is_weights(folder):
        raise InputError(f"{folder} holds no converted weights of the {kind} network")
    about = stored.read_about(folder)
    if about.get("network") != kind:
        raise InputError(f"{folder} holds {about.get('network')!r}, expected {kind!r}")
    return only_used(catalog.config_from_dict(kind, about.get("config"), **runtime))


def config_of(kind: str, checkpoint: str, preset: Mapping[str, Any], **runtime: Any) -> Any:
    """Returns the config of a checkpoint that is a weight folder, else that of a preset.

    Args:
      kind: name and role of the network.
      checkpoint: weight folder; anything else selects the preset.
      preset: configs by role.
      **runtime: runtime fields of the network's config.
    """
    if checkpoint and stored.is_weights(checkpoint):
        return stored_config(kind, checkpoint, **runtime)
    return dataclasses.replace(preset[kind], **runtime)


def only_used(config: Any) -> Any:
    """Returns a config without parts that a checkpoint stores and inference never runs."""
    return config.only_used() if isinstance(config, ClipTextConfig) else config


def param_shapes(config: Any, network: FunctionalModule) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns shape and type of each parameter of a network during inference."""
    types = dict.fromkeys(network.shapes, jnp.dtype(config.dtype) if network.shapes else None)
    if isinstance(config, VAEConfig):
        encoder = jnp.dtype(config.encoder_dtype)
        types |= {n: encoder for n in types if n.startswith(("encoder.", "quant_conv."))}
    return {n: jax.ShapeDtypeStruct(s.shape, types[n]) for n, s in network.shapes.items()}
