"""Builds Upscale-A-Video from weight folders, or abstract."""

from collections.abc import Mapping
from typing import Any

import jax
from etils import epath
from jax.sharding import Mesh

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
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoWeights
from venhancer_jax.pipelines.upscale_a_video.released import read_schedulers
from venhancer_jax.pipelines.upscale_a_video.system import UpscaleAVideo
from venhancer_jax.sharding.mesh import inference_mesh


def load_upscale_a_video(
    denoiser: epath.PathLike,
    vae: epath.PathLike,
    text: epath.PathLike,
    raft: epath.PathLike | None = None,
    *,
    schedulers: epath.PathLike | None = None,
    dtype: str = "auto",
    weights: str = "full",
    mesh: Mesh | None = None,
) -> UpscaleAVideo:
    """Loads the system from converted weights.

    The text encoder is loaded when a prompt needs it, and freed again.

    Args:
      denoiser: weight folder of the UNet, also `gs://`.
      vae: weight folder of the VAE with either decoder.
      text: weight folder of the text encoder.
      raft: weight folder of the optical flow; None for enhancements that need none.
      schedulers: folder of the published checkpoint, whose scheduler files are read where it has
        them; None for the expected values.
      dtype: type of weights and activations; `auto` is float32 on a CPU and bfloat16 elsewhere. The
        encoder of the VAE, the text encoder and the optical flow stay in float32.
      weights: `full`, or `int8` for a denoiser of 8-bit integers (`models/int8.py`).
      mesh: devices to run on, by default all; parameters are split over its `fsdp`.

    Raises:
      InputError: a folder holds no weights, or those of another network; a scheduler file with
        unknown values; unknown `dtype` or `weights`; `int8` without qwix.
    """
    scheduler, low_res = read_schedulers(schedulers)
    compute = compute_dtype(dtype)
    if mesh is None and jax.device_count() > 1:
        mesh = inference_mesh()
    return UpscaleAVideo(
        load_denoiser("upscale_a_video", denoiser, mesh, dtype=compute, weights=weights),
        load_network("vae", vae, mesh, dtype=compute),
        load_text(text, mesh),
        None if raft is None else load_network("raft", raft, mesh),
        scheduler,
        low_res.schedule,
        mesh=mesh,
    )


def abstract_upscale_a_video(
    weights: UpscaleAVideoWeights, preset: Mapping[str, Any], mesh: Mesh
) -> UpscaleAVideo:
    """Builds the system with shapes in place of parameters, for devices that need not exist.

    Args:
      weights: weight options; checkpoints that are weight folders determine the sizes of their
        networks, and `dtype="auto"` is bfloat16, as on all accelerators.
      preset: configs of the other networks, by role.
      mesh: devices.
    """
    dtype = compute_dtype("bfloat16" if weights.dtype == "auto" else weights.dtype)

    def network(role: str, checkpoint: str, **runtime: Any) -> LoadedNetwork:
        return abstract_network(role, config_of(role, checkpoint, preset, **runtime), mesh)

    encoder = network("text", weights.text_checkpoint)
    return UpscaleAVideo(
        network("upscale_a_video", weights.checkpoint, dtype=dtype),
        network("vae", weights.vae_checkpoint, dtype=dtype),
        TextFeatures(encoder.config, lambda: encoder),
        network("raft", weights.flow_checkpoint),
        mesh=mesh,
    )
