"""Builds the VEnhancer system from weight folders."""

from typing import Any

import jax
import jax.numpy as jnp
from etils import epath
from jax.sharding import Mesh

from venhancer_jax import weights as stored
from venhancer_jax.assets import demo_weights
from venhancer_jax.errors import InputError
from venhancer_jax.models.autoencoders.vae import VAEConfig
from venhancer_jax.models.functional import FunctionalModule
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.models.venhancer.int8 import quantised
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.venhancer.system import Part, VEnhancer
from venhancer_jax.sharding.mesh import inference_mesh
from venhancer_jax.sharding.params import fsdp_sharding

DTYPES = ("auto", "float32", "bfloat16")
WEIGHTS = ("full", "int8")


def load_venhancer(
    denoiser: epath.PathLike,
    vae: epath.PathLike,
    text: epath.PathLike | None,
    *,
    dtype: str = "auto",
    weights: str = "full",
    mesh: Mesh | None = None,
) -> VEnhancer:
    """The system from converted weights.

    Args:
      denoiser: weight folder, also `gs://`, of UNet and ControlNet.
      vae: weight folder of the VAE.
      text: weight folder of the text tower, or None for a model that has learned no text.
      dtype: of weights and activations; `auto` is float32 on a CPU and bfloat16 elsewhere. The
        encoder of the VAE and the text tower stay in float32.
      weights: `full`, or `int8` for a denoiser of 8-bit integers (`models/int8.py`).
      mesh: devices to run on, by default all there are; parameters are split over its `fsdp`.

    Raises:
      InputError: a folder holds no weights, or those of another network; unknown `dtype` or
        `weights`; `int8` without qwix.
    """
    compute = compute_dtype(dtype)
    if weights not in WEIGHTS:
        raise InputError(f"weights {weights!r}: expected one of {', '.join(WEIGHTS)}")
    if mesh is None and jax.device_count() > 1:
        mesh = inference_mesh()
    unet = _load("venhancer", denoiser, mesh, dtype=compute)
    if weights == "int8":
        network, params = quantised(unet.network, unet.params, unet.config)
        unet = Part(unet.config, network, params)
    if text is None:
        config = NullTextConfig(width=unet.config.context_width)
        tower = Part(config, catalog.build("no_text", config), {})
    else:
        tower = _load("text", text, mesh)
    return VEnhancer(unet, _load("vae", vae, mesh, dtype=compute), tower, mesh=mesh)


def demo_venhancer(**options: Any) -> VEnhancer:
    """The small model that ships with the package (docs/model_card.md), by `load_venhancer`."""
    folder = demo_weights()
    return load_venhancer(folder / "venhancer", folder / "vae", None, **options)


def compute_dtype(name: str) -> jnp.dtype:
    """The type that a name means on this machine.

    Raises:
      InputError: unknown name.
    """
    if name not in DTYPES:
        raise InputError(f"dtype {name!r}: expected one of {', '.join(DTYPES)}")
    if name == "auto":
        name = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(name)


def stored_shapes(config: Any, network: FunctionalModule) -> dict[str, jax.ShapeDtypeStruct]:
    """Shape and type in which each parameter of a network lies in memory, for inference."""
    types = dict.fromkeys(network.shapes, jnp.dtype(config.dtype))
    if isinstance(config, VAEConfig):
        encoder = jnp.dtype(config.encoder_dtype)
        types |= {n: encoder for n in types if n.startswith(("encoder.", "quant_conv."))}
    return {n: jax.ShapeDtypeStruct(s.shape, types[n]) for n, s in network.shapes.items()}


def _load(name: str, folder: epath.PathLike, mesh: Mesh | None, **runtime: Any) -> Part[Any]:
    if not stored.is_weights(folder):
        raise InputError(f"{folder} holds no converted weights of the {name} network")
    about = stored.read_about(folder)
    if about.get("network") != name:
        raise InputError(f"{folder} holds {about.get('network')!r}, expected {name!r}")
    config: Any = catalog.config_from_dict(name, about["config"], **runtime)
    if isinstance(config, ClipTextConfig):
        config = config.only_used()
    network = catalog.build(name, config)
    shapes = stored_shapes(config, network)
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    sharding = one if mesh is None else fsdp_sharding(mesh, shapes)
    return Part(config, network, stored.load_weights(folder, shapes, sharding=sharding))
