"""Replays of VAE, text tower, resampling, colour and the whole pipeline."""

import json
import re
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.convert import clip
from venhancer_jax.convert.layouts import layout_entries
from venhancer_jax.convert.parity import recipe
from venhancer_jax.convert.parity.case import (
    BLOCK,
    NETWORK,
    Case,
    compare,
    equal,
    nearly_equal_bytes,
)
from venhancer_jax.convert.parity.networks import CONFIGS
from venhancer_jax.convert.parity.recording import Recording, channels_last
from venhancer_jax.convert.rules import entries
from venhancer_jax.diffusion.noise import RecordedNoise
from venhancer_jax.models.autoencoders.vae import VAEConfig
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.pipelines import catalog, programs
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures
from venhancer_jax.pipelines.venhancer.decode import decode_stream
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.system import VEnhancer
from venhancer_jax.text.tokenizer import tokenize
from venhancer_jax.video import colour_fix, resize

# The VAE that the recorded pipelines use.
_REDUCED_VAE = VAEConfig.svd(channels=(32, 64, 64, 96))


def replay_vae(recording: Recording) -> list[Case]:
    """Encoder and decoder, of the temporal and of the image VAE."""
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


def replay_tiled_decode(recording: Recording) -> list[Case]:
    """Decoding by tiles and chunks; the recording says how large tiles are, in pixels."""
    tensors = recording.tensors
    match = re.search(r"height (\d+), tile_img_width (\d+)", recording.info["note"])
    height, width = map(int, match.groups()) if match else (576, 1024)
    system = _system(recording)
    pieces = decode_stream(
        system.decode,
        jnp.asarray(channels_last(tensors["z"])),
        scale=8,
        equal=False,
        tile_size=(height // 8, width // 8),
        tile_overlap=(height // 6 // 8, width // 5 // 8),
    )
    ours = np.concatenate([np.asarray(piece) for piece in pieces], axis=1)
    return [compare(f"{recording.name}/out", ours, channels_last(tensors["out"]), NETWORK)]


def replay_text(recording: Recording) -> list[Case]:
    """Penultimate features of the text tower, and tokens where the texts are recorded."""
    info, tensors = recording.info, recording.tensors
    config = ClipTextConfig.vit_h_14()
    if "width" in info:
        config = ClipTextConfig(width=info["width"], layers=info["layers"], heads=info["heads"])
    # Only what runs: the recipe gives every parameter by its name alone.
    config = config.only_used()
    network = catalog.build("text", config)
    shapes = {name: leaf.shape for name, leaf in network.shapes.items()}
    params = recording.params(entries(clip.open_clip(config), shapes))
    features = jax.jit(network.__call__)(params, tensors["tokens"].astype(np.int32))
    name = "z" if "z" in tensors else "z_penultimate"
    cases = [compare(f"{recording.name}/{name}", features, tensors[name], BLOCK)]
    if "texts" in info:
        tokens = tokenize(info["texts"])
        cases.append(equal(f"{recording.name}/tokens", tokens, tensors["tokens"]))
    return cases


def replay_resize(recording: Recording) -> list[Case]:
    """Resampling by size and by scale, preparation of frames, padding, bytes."""
    tensors, cases = recording.tensors, []
    x = channels_last(tensors["x"])
    for name, recorded in tensors.items():
        scale = None
        if match := re.fullmatch(r"size_(\d+)x(\d+)", name):
            height, width = map(int, match.groups())
        elif match := re.fullmatch(r"scale_([\d.]+)", name):
            scale = float(match.group(1))
            height, width = (int(side * scale) for side in x.shape[1:3])
        else:
            continue
        ours = resize.resize_bilinear(x, (height, width), scale=scale, antialias=False)
        cases.append(compare(f"{recording.name}/{name}", ours, channels_last(recorded), BLOCK))
    bgr = tensors["bgr_frames_u8"]
    signed = resize.to_signed(bgr[..., ::-1])
    cases.append(
        compare(f"{recording.name}/preprocess", signed, channels_last(tensors["preprocess"]), BLOCK)
    )
    padded = channels_last(tensors["pad_ones"])
    inner, sides = _unpadded(padded)
    ours = resize.pad(inner, sides, white=True)
    cases.append(compare(f"{recording.name}/pad_ones", ours, padded, BLOCK))
    video = channels_last(tensors["tensor2vid_in"])[0]
    ours = programs.to_bytes(jnp.asarray(video), truncate=True)
    cases.append(equal(f"{recording.name}/tensor2vid_u8", ours, tensors["tensor2vid_u8"]))
    return cases


def replay_colour(recording: Recording) -> list[Case]:
    """Colour of the source put on the result."""
    tensors = recording.tensors
    target = tensors["target_THWC_0_255"] / 255
    source = channels_last(tensors["source_TCHW_m1_1"]) / 2 + 0.5
    small = channels_last(tensors["source_small"]) / 2 + 0.5
    high, low = colour_fix.wavelet_split(channels_last(tensors["source_TCHW_m1_1"][:1]))
    ours = {
        "adain": 255 * colour_fix.adain(target, source),
        "adain_small_source": 255 * colour_fix.adain(target, small),
        "wavelet": 255 * colour_fix.wavelet(target, source),
    }
    split = {"wavelet_high_src0": high, "wavelet_low_src0": low}
    return [
        compare(f"{recording.name}/{name}", value, tensors[name], BLOCK)
        for name, value in ours.items()
    ] + [
        compare(f"{recording.name}/{name}", value, channels_last(tensors[name]), BLOCK)
        for name, value in split.items()
    ]


def replay_pipeline(recording: Recording) -> list[Case]:
    """The whole program, from BGR frames to bytes, with the recorded noise."""
    info, tensors = recording.info, recording.tensors
    options = VEnhancerOptions(
        compat="official",
        target_size=tuple(info["target"]),
        target_fps=Fraction(info["interp"] + 1),
        noise_aug=info["noise_aug"],
        solver_mode=info["mode"],
        steps=info["steps"],
        guidance_scale=info["guide_scale"],
        noise_levels=info["total_noise_levels"],
        official_scale=info["s_cond"],
        official_pad=tuple(info["pad_target"]),
    )
    noise = RecordedNoise(
        {
            "vae": channels_last(tensors["vae_noise"])[None, None],
            "hint": channels_last(tensors["hint_noise"])[None],
            "start": channels_last(tensors["xt_noise"])[None],
            "solver": channels_last(tensors["brownian"], 2),
        }
    )
    text = np.concatenate([_normal(info["y"]), _normal(info["ny"])])
    system = _system(recording)
    latents, plan = system.denoise_clip(
        tensors["bgr_frames_u8"][..., ::-1],
        rate=Fraction(1),
        options=options,
        noise=noise,
        text=jnp.asarray(text),
    )
    pieces = [np.asarray(piece) for piece in system.decode_frames(latents, plan.space, options)]
    video = np.concatenate(pieces)
    recorded = channels_last(tensors["out"])[0]
    return [
        compare(f"{recording.name}/out", video, recorded, NETWORK),
        nearly_equal_bytes(
            f"{recording.name}/frames_u8",
            np.asarray(programs.to_bytes(jnp.asarray(video), truncate=True)),
            tensors["frames_u8"],
        ),
    ]


def _system(recording: Recording) -> VEnhancer:
    """The reduced system of the pipeline recordings."""
    denoiser, vae, text = CONFIGS["r32"], _REDUCED_VAE, ClipTextConfig.tiny()
    vae_params = recipe.params(layout_entries("vae", vae, "svd"), "vaet/")
    denoiser_params = recipe.params(layout_entries("venhancer", denoiser, "venhancer"))
    return VEnhancer(
        LoadedNetwork(denoiser, catalog.build("venhancer", denoiser), denoiser_params),
        LoadedNetwork(vae, catalog.build("vae", vae), vae_params),
        TextFeatures(text, lambda: LoadedNetwork(text, catalog.build("text", text), {})),
    )


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


def _normal(call: str) -> np.ndarray:
    """Numbers from a string such as `normal('pipe/y',1,77,1024)`."""
    name, *shape = json.loads("[" + call.removeprefix("normal(")[:-1].replace("'", '"') + "]")
    return recipe.normal(name, shape)


def _unpadded(padded: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """What lies within the ones of the recorded frames, and the widths of the border."""
    rows = np.flatnonzero((padded != 1).any((0, 2, 3)))
    columns = np.flatnonzero((padded != 1).any((0, 1, 3)))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    sides = (left, padded.shape[2] - right, top, padded.shape[1] - bottom)
    return padded[:, top:bottom, left:right], sides
