"""Builds GenVE from weight folders, or abstract."""

from collections.abc import Mapping
from typing import Any

from etils import epath
from jax.sharding import Mesh

from venhancer_jax.pipelines.genve.options import GenVEWeights
from venhancer_jax.pipelines.genve.system import GenVE
from venhancer_jax.pipelines.networks import (
    abstract_network,
    compute_dtype,
    config_of,
    load_network,
)
from venhancer_jax.pipelines.venhancer.load import abstract_networks, load_networks


def load_genve(
    denoiser: epath.PathLike,
    vae: epath.PathLike,
    text: epath.PathLike | None,
    raft: epath.PathLike | None = None,
    image: epath.PathLike | None = None,
    *,
    kind: str = "genve",
    dtype: str = "auto",
    weights: str = "full",
    mesh: Mesh | None = None,
) -> GenVE:
    """Loads the system from weight folders.

    Args:
      denoiser: weight folder of UNet, ControlNet and attention to the reference, also `gs://`.
      vae: weight folder of the VAE.
      text: weight folder of the text encoder, or None for a model that has learned no text.
      raft: weight folder of the optical flow; None for enhancements that need none.
      image: weight folder of the UNet of Stable Diffusion 2.1; None for enhancements without.
      kind: `genve`, or `venhancer` for a denoiser without attention to a reference.
      dtype: type of weights and activations; `auto` is float32 on a CPU and bfloat16 elsewhere. The
        encoder of the VAE, the text encoder and the optical flow stay in float32.
      weights: `full`, or `int8` for a denoiser of 8-bit integers (`models/int8.py`).
      mesh: devices to run on, by default all; parameters are split over its `fsdp`.

    Raises:
      InputError: a folder holds no weights, or those of another network; unknown `dtype` or
        `weights`; `int8` without qwix.
    """
    networks = load_networks(kind, denoiser, vae, text, dtype=dtype, weights=weights, mesh=mesh)
    mesh, compute = networks["mesh"], compute_dtype(dtype)
    return GenVE(
        **networks,
        raft=None if raft is None else load_network("raft", raft, mesh),
        image=None if image is None else load_network("sd21", image, mesh, dtype=compute),
    )


def abstract_genve(
    kind: str, weights: GenVEWeights, preset: Mapping[str, Any], mesh: Mesh
) -> GenVE:
    """Builds the system with shapes in place of parameters, for devices that need not exist.

    Args:
      kind: `genve`, or `venhancer` for a denoiser without attention to a reference.
      weights: weight options; checkpoints that are weight folders determine the sizes of their
        networks, and `dtype="auto"` is bfloat16, as on all accelerators.
      preset: configs of the other networks, by role.
      mesh: devices.
    """
    networks = abstract_networks(kind, weights, preset, mesh)
    dtype, image = networks["denoiser"].config.dtype, weights.image_checkpoint
    flow = config_of("raft", weights.flow_checkpoint, preset)
    return GenVE(
        **networks,
        raft=abstract_network("raft", flow, mesh),
        image=abstract_network("sd21", config_of("sd21", image, preset, dtype=dtype), mesh)
        if image
        else None,
    )
