"""Replays of what systems share: autoencoders, the text tower, an image UNet, colours."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.convert.layouts import layout_entries
from venhancer_jax.convert.parity.case import BLOCK, FULL_SIZE, Case, compare, equal
from venhancer_jax.convert.parity.recording import Recording, channels_last
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.text.tokenizer import tokenize
from venhancer_jax.video.colour import colour_fix


def replay_vae(recording: Recording) -> list[Case]:
    """Replays encoder and decoder of the temporal or the image VAE."""
    info, tensors = recording.info, recording.tensors
    config, layout = _vae_config(dict(info))
    network = catalog.build("vae", config)
    params = recording.params(layout_entries("vae", config, layout))

    def encode(params: Any, x: jax.Array) -> dict[str, jax.Array]:
        posterior = network.bind(params).encode(x)
        return {"mean": posterior.mean, "std": posterior.std, "log": posterior.log_variance}

    def decode(params: Any, z: jax.Array) -> jax.Array:
        return network.bind(params).decode(z)

    decode = jax.jit(decode)
    posterior = jax.jit(encode)(params, channels_last(tensors["x"])[None])
    moments = jnp.concatenate([posterior["mean"], posterior["log"]], axis=-1)
    ours = {"moments": moments, "mean": posterior["mean"], "std": posterior["std"]}
    latents = channels_last(tensors["z"])[None]
    ours["dec"] = decode(params, latents)
    if "dec_1frame" in tensors:
        ours["dec_1frame"] = decode(params, latents[:, :1])
    return [
        compare(f"{recording.name}/{name}", value[0], channels_last(tensors[name]), BLOCK)
        for name, value in ours.items()
        if name in tensors
    ]


def replay_text(recording: Recording) -> list[Case]:
    """Replays the features of the text tower, and the tokens of recorded texts."""
    info, tensors = recording.info, recording.tensors
    config, layout = _text_config(dict(info))
    network = catalog.build("text", config)
    params = recording.params(layout_entries("text", config, layout))
    tokens = tensors["tokens" if "tokens" in tensors else "ids"]
    features = jax.jit(network.__call__)(params, tokens.astype(np.int32))
    name = next(name for name in ("z", "z_penultimate", "y") if name in tensors)
    cases = [compare(f"{recording.name}/{name}", features, tensors[name], BLOCK)]
    if "texts" in info:
        tokens = tokenize(info["texts"])
        cases.append(equal(f"{recording.name}/tokens", tokens, tensors["tokens"]))
    return cases


def replay_sd21(recording: Recording) -> list[Case]:
    """Replays the image UNet of Stable Diffusion 2.1."""
    tensors, sizes = recording.tensors, recording.info["config"]
    sd21 = catalog.config_class("sd21")
    config = sd21(
        channels=tuple(sizes["block_out_channels"]),
        blocks_per_level=sizes["layers_per_block"],
        # The "attention_head_dim" of diffusers is the number of heads.
        heads=tuple(sizes["attention_head_dim"]),
        context_width=sizes["cross_attention_dim"],
    )
    network = catalog.build("sd21", config)
    params = recording.params(layout_entries("sd21", config, "diffusers"))
    x = channels_last(tensors["sample"])[:, None]
    v = jax.jit(network.__call__)(params, x, tensors["t"], tensors["ctx"])
    tolerance = FULL_SIZE if config == sd21() else BLOCK
    return [compare(f"{recording.name}/y", v[:, 0], channels_last(tensors["y"]), tolerance)]


def replay_colour(recording: Recording) -> list[Case]:
    """Replays the transfer of the source's colour to the result."""
    tensors = recording.tensors
    target = tensors["target_THWC_0_255"] / 255
    source = channels_last(tensors["source_TCHW_m1_1"]) / 2 + 0.5
    small = channels_last(tensors["source_small"]) / 2 + 0.5
    high, low = colour_fix.wavelet_split(channels_last(tensors["source_TCHW_m1_1"][:1]))
    ours = {
        "adain": 255 * np.clip(colour_fix.adain(target, source), 0, 1),
        "adain_small_source": 255 * np.clip(colour_fix.adain(target, small), 0, 1),
        "wavelet": 255 * np.clip(colour_fix.wavelet(target, source), 0, 1),
    }
    split = {"wavelet_high_src0": high, "wavelet_low_src0": low}
    return [
        compare(f"{recording.name}/{name}", value, tensors[name], BLOCK)
        for name, value in ours.items()
    ] + [
        compare(f"{recording.name}/{name}", value, channels_last(tensors[name]), BLOCK)
        for name, value in split.items()
    ]


def _text_config(info: dict[str, Any]) -> tuple[ClipTextConfig, str]:
    """Returns the config of a recorded tower, and the layout of its names.

    Towers of transformers say theirs in `config`, and all of their blocks run. Of the others only
    the parts that run are built, as the recipe gives every parameter by its name alone.
    """
    if "config" in info:
        sizes = info["config"]
        if isinstance(sizes, str):
            return ClipTextConfig.x4_upscaler(), "transformers"
        return ClipTextConfig.x4_upscaler(
            vocabulary=sizes["vocab_size"],
            length=sizes["max_position_embeddings"],
            width=sizes["hidden_size"],
            heads=sizes["num_attention_heads"],
            mlp_width=sizes["intermediate_size"],
            layers=sizes["num_hidden_layers"] + 1,
        ), "transformers"
    config = ClipTextConfig.vit_h_14()
    if "width" in info:
        config = ClipTextConfig(width=info["width"], layers=info["layers"], heads=info["heads"])
    return config.only_used(), "open_clip"


def _vae_config(info: dict[str, Any]) -> tuple[VAEConfig, str]:
    if "ddconfig" in info:
        sizes = info["ddconfig"]
        channels = tuple(sizes["ch"] * multiplier for multiplier in sizes["ch_mult"])
        return VAEConfig.sd21(
            channels=channels, blocks_per_level=sizes["num_res_blocks"]
        ), "original"
    if "config" in info:
        sizes = info["config"]
        return VAEConfig.svd(
            channels=tuple(sizes["block_out_channels"]),
            blocks_per_level=sizes["layers_per_block"],
        ), "svd"
    return VAEConfig.svd(), "svd"


KINDS: dict[str, Callable[[Recording], list[Case]]] = {
    "vae_temporal": replay_vae,
    "vae_kl": replay_vae,
    "text": replay_text,
    "sd21": replay_sd21,
    "color": replay_colour,
}
