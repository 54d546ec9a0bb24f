"""Replays of tiled decoding and of the whole program, on reduced networks."""

import json
import re
from fractions import Fraction

import jax.numpy as jnp
import numpy as np

from venhancer_jax.convert.layouts import layout_entries
from venhancer_jax.convert.parity import recipe
from venhancer_jax.convert.parity.case import NETWORK, Case, compare, nearly_equal_bytes
from venhancer_jax.convert.parity.recording import Recording, channels_last
from venhancer_jax.convert.parity.venhancer.networks import CONFIGS
from venhancer_jax.diffusion.noise import RecordedNoise
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.pipelines import catalog, programs
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures
from venhancer_jax.pipelines.venhancer.decode import PublishedPieces, decode_stream
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.system import VEnhancer

# The VAE that the recorded pipelines use.
_REDUCED_VAE = VAEConfig.svd(channels=(32, 64, 64, 96))


def replay_tiled_decode(recording: Recording) -> list[Case]:
    """Replays decoding by tiles and chunks, with the recorded size of tiles in pixels."""
    tensors = recording.tensors
    match = re.search(r"height (\d+), tile_img_width (\d+)", recording.info["note"])
    height, width = map(int, match.groups()) if match else (576, 1024)
    system = _system()
    pieces = decode_stream(
        system.decode,
        jnp.asarray(channels_last(tensors["z"])),
        PublishedPieces(
            scale=8,
            size=(height // 8, width // 8),
            shared=(height // 6 // 8, width // 5 // 8),
        ),
    )
    ours = np.concatenate([np.asarray(piece) for piece in pieces], axis=1)
    return [compare(f"{recording.name}/out", ours, channels_last(tensors["out"]), NETWORK)]


def replay_pipeline(recording: Recording) -> list[Case]:
    """Replays the whole program, from BGR frames to bytes, with the recorded noise."""
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
    system = _system()
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


def _system() -> VEnhancer:
    """Builds the reduced system of the pipeline recordings."""
    denoiser, vae, text = CONFIGS["r32"], _REDUCED_VAE, ClipTextConfig.tiny()
    vae_params = recipe.params(layout_entries("vae", vae, "svd"), "vaet/")
    denoiser_params = recipe.params(layout_entries("venhancer", denoiser, "venhancer"))
    return VEnhancer(
        LoadedNetwork(denoiser, catalog.build("venhancer", denoiser), denoiser_params),
        LoadedNetwork(vae, catalog.build("vae", vae), vae_params),
        TextFeatures(text, lambda: LoadedNetwork(text, catalog.build("text", text), {})),
    )


def _normal(call: str) -> np.ndarray:
    """Generates numbers from a string such as `normal('pipe/y',1,77,1024)`."""
    name, *shape = json.loads("[" + call.removeprefix("normal(")[:-1].replace("'", '"') + "]")
    return recipe.normal(name, shape)
