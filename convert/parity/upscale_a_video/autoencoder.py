"""Replays of the VAEs and of their blocks."""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from venhancer_jax.convert import vae
from venhancer_jax.convert.layouts import layout_entries
from venhancer_jax.convert.parity.case import BLOCK, NETWORK, Case, compare, failed
from venhancer_jax.convert.parity.recording import Recording, channels_last
from venhancer_jax.convert.rules import Table, entries
from venhancer_jax.errors import InputError
from venhancer_jax.models.autoencoders.blocks import SpatialAttention, SpatialResBlock
from venhancer_jax.models.autoencoders.conditioned_decoder import Conv3dResBlock, FeatureTransform
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.autoencoders.vae import VAE, downsample
from venhancer_jax.models.functional import functionalize
from venhancer_jax.pipelines import catalog

_REDUCED = (32, 64, 64)
# Pixels of a frame that PyTorch normalises to the tolerance of a block.
_LARGE = 2048
# Networks that recordings name instead of spelling out.
CONFIGS = {
    "vae_3d": VAEConfig.x4_image(),
    "vae_video": VAEConfig.x4_video(),
    "vae3d_reduced": VAEConfig.x4_image(channels=_REDUCED),
    "vaevideo_reduced": VAEConfig.x4_video(channels=_REDUCED, condition_channels=32),
}


def config_of(config: Any) -> VAEConfig:
    """Returns the config of a recorded VAE.

    Args:
      config: config of the PyTorch module, or the name of a network in `CONFIGS`.

    Raises:
      InputError: an unknown name.
    """
    if isinstance(config, str):
        if config not in CONFIGS:
            raise InputError(f"unknown VAE {config!r}: expected one of {', '.join(CONFIGS)}")
        return CONFIGS[config]
    return VAEConfig.x4_image(
        channels=tuple(config["block_out_channels"]),
        latent_channels=config.get("latent_channels", 4),
        blocks_per_level=config.get("layers_per_block", 2),
        groups=config.get("norm_num_groups", 32),
        scaling_factor=config.get("scaling_factor", 0.08333),
        condition_channels=config["condition_channels"] if config.get("condition_img") else 0,
    )


def replay_vae(recording: Recording) -> list[Case]:
    """Replays encoder and decoder, and what their blocks compute on the way."""
    tensors = recording.tensors
    config = config_of(recording.info["config"])
    network = catalog.build("vae", config)
    params = recording.params(layout_entries("vae", config, "diffusers_old"))
    features = any(name.startswith("act:") for name in tensors)

    def encode(params: Any, x: jax.Array) -> dict[str, jax.Array]:
        module: VAE = network.bind(params)
        posterior = module.encode(x)
        found = _encoder_features(module, x) if features else {}
        return found | {"mean": posterior.mean, "logvar": posterior.log_variance}

    def decode(params: Any, *inputs: Any) -> jax.Array:
        return network.bind(params).decode(*inputs)

    ours: dict[str, jax.Array] = {}
    if "x" in tensors:
        ours |= jax.jit(encode)(params, channels_last(tensors["x"]))
    if features and "z" in tensors:
        inputs = _decoder_inputs("dec", tensors)
        ours |= jax.jit(lambda p, *x: _decoder_features(network.bind(p), *x))(params, *inputs)
    decode = jax.jit(decode)
    for name in tensors:
        if name.startswith("dec"):
            ours[name] = decode(params, *_decoder_inputs(name, tensors))
    cases = []
    for name, recorded in tensors.items():
        case = f"{recording.name}/{name}"
        if name in ours:
            want = channels_last(recorded)
            cases.append(compare(case, ours[name], want, tolerance(recorded)))
        elif name not in ("x", "z", "img"):
            cases.append(failed(case, "no such tensor here"))
    return cases


def tolerance(recorded: np.ndarray) -> float:
    """Returns the tolerance of a recorded tensor `[B, C, F, H, W]`.

    PyTorch's own float32 normalisation of large channels-last frames is up to 2.7e-5 off.
    """
    return NETWORK if recorded.shape[-2] * recorded.shape[-1] > _LARGE else BLOCK


def _decoder_inputs(name: str, tensors: Mapping[str, np.ndarray]) -> tuple[Any, Any, float]:
    """Returns latents, condition and weight of a recorded result.

    Args:
      name: `dec`; `dec_tN` of the first N frames; `dec_wAB` with the weight A.B; `dec_img0` with
        a condition of zeros.
      tensors: latents `z`, and low-resolution frames `img` unless the decoder sees none.

    Raises:
      InputError: another name.
    """
    match = re.fullmatch(r"dec(?:_t(?P<frames>\d+)|_w(?P<weight>\d+)|_img(?P<gain>[01]))?", name)
    if match is None:
        raise InputError(f"{name}: expected dec, dec_t2, dec_w05 or dec_img0")
    frames = int(match["frames"]) if match["frames"] else None
    weight = float(f"{match['weight'][0]}.{match['weight'][1:]}") if match["weight"] else 1.0
    latents = channels_last(tensors["z"])[:, :frames]
    condition = channels_last(tensors["img"])[:, :frames] if "img" in tensors else None
    if condition is not None and match["gain"] == "0":
        condition = np.zeros_like(condition)
    return latents, condition, weight


def _encoder_features(module: VAE, x: jax.Array) -> dict[str, jax.Array]:
    encoder, found = module.encoder, {}
    found["encoder.conv_in"] = x = encoder.conv_in(x)
    for i, level in enumerate(encoder.down_blocks):
        found[f"encoder.down_blocks.{i}"] = x = level(x)
    found["encoder.mid_block"] = encoder.mid_block(x)
    return {f"act:{name}": y for name, y in found.items()}


def _decoder_features(
    module: VAE, z: jax.Array, condition: jax.Array | None, weight: float
) -> dict[str, jax.Array]:
    decoder, found = module.decoder, {}
    x = z if module.post_quant_conv is None else module.post_quant_conv(z)
    found["decoder.conv_in"] = x = decoder.conv_in(x)
    if condition is not None and decoder.condition_in and decoder.condition_fuse:
        found["decoder.condition_in"] = seen = decoder.condition_in(condition)
        found["decoder.condition_fuse"] = x = decoder.condition_fuse(x, seen, weight)
    found["decoder.mid_block"] = x = decoder.mid_block(x)
    for i, level in enumerate(decoder.up_blocks):
        found[f"decoder.up_blocks.{i}"] = x = level(x)
    return {f"act:{name}": y for name, y in found.items()}


# Builds a module of ours and its rules, from the shapes of the recorded tensors.
_Build = Callable[[Mapping[str, tuple[int, ...]]], tuple[Callable[[nnx.Rngs], nnx.Module], Table]]
_OPTIONS: dict[str, Any] = {"groups": 32, "dtype": jnp.float32}


def _res_block(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Any, Table]:
    wide, narrow = shapes["conv1.weight"][:2]
    block = Conv3dResBlock if "conv_3d.weight" in shapes else SpatialResBlock
    shortcut = "conv_shortcut" if "conv_shortcut.weight" in shapes else None
    table = vae.conv_3d_resnet if block is Conv3dResBlock else vae.resnet
    build = functools.partial(block, narrow, wide, over_frames=True, **_OPTIONS)
    return lambda rngs: build(rngs=rngs), table("", "", shortcut)


def _attention(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Any, Table]:
    channels = shapes["query.weight"][0]
    return (
        lambda rngs: SpatialAttention(channels, implementation="auto", rngs=rngs, **_OPTIONS),
        vae.OLD_DIFFUSERS_ATTENTION,
    )


def _transform(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Any, Table]:
    channels, both = shapes["shared.0.conv1.weight"][:2]
    return (
        lambda rngs: FeatureTransform(channels, both - channels, rngs=rngs, **_OPTIONS),
        vae.feature_transform("", ""),
    )


def _downsampling(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Any, Table]:
    channels = shapes["conv.weight"][0]
    return lambda rngs: downsample(channels, dtype=jnp.float32, rngs=rngs), {"conv": "conv"}


def _run(recording: Recording, build: _Build, name: str, *inputs: Any) -> Case:
    """Compares what a module computes of `inputs` with a recorded tensor."""
    shapes = {n: tuple(s) for n, s in recording.info["params"].items()}
    constructor, table = build(shapes)
    network = functionalize(constructor)
    params = recording.params(entries(table, {n: x.shape for n, x in network.shapes.items()}))
    out = jax.jit(network.__call__)(params, *inputs)
    recorded = channels_last(recording.tensors[name])
    return compare(f"{recording.name}/{name}", out.reshape(recorded.shape), recorded, BLOCK)


def _replay_res_block(recording: Recording) -> list[Case]:
    return [_run(recording, _res_block, "y", channels_last(recording.tensors["x"]))]


def _replay_attention(recording: Recording) -> list[Case]:
    # Frames are recorded as a batch of pictures.
    return [_run(recording, _attention, "y", channels_last(recording.tensors["x"])[None])]


def _replay_transform(recording: Recording) -> list[Case]:
    x, condition = (channels_last(recording.tensors[name]) for name in ("dec", "enc"))
    weights = recording.info.get("weights_of_condition", {"y": 1.0})
    return [
        _run(recording, _transform, name, x, condition, weight)
        for name, weight in weights.items()
        if name in recording.tensors
    ]


def replay_downsample(recording: Recording) -> list[Case]:
    """Replays the downsampling of the encoder in a recording of several resampling layers."""
    if "dn0" not in recording.tensors:
        return []
    prefixes = recording.info["prefix"]
    prefix = next(p for p in prefixes if p.endswith("dn0.")) if "dn0." in "".join(prefixes) else ""
    named = dataclasses.replace(recording, info={**recording.info, "prefix": prefix})
    return [_run(named, _downsampling, "dn0", channels_last(recording.tensors["x"]))]


# Replays of recorded blocks by the name of their module.
BLOCKS: dict[str, Callable[[Recording], list[Case]]] = {
    "sft": _replay_transform,
    "resnet3d_notemb": _replay_res_block,
    "resnet3d_plus": _replay_res_block,
    "resnet3d_plus_cond": _replay_res_block,
    "vae_attn": _replay_attention,
    "updown": replay_downsample,
}
