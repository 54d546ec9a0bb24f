"""Replays of the whole program, tiled or not, on reduced networks."""

import dataclasses
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np

from venhancer_jax.convert.layouts import layout_constants, layout_entries
from venhancer_jax.convert.parity.case import (
    FULL_SIZE,
    NETWORK,
    Case,
    compare,
    equal,
    nearly_equal_bytes,
)
from venhancer_jax.convert.parity.recording import Recording, channels_last
from venhancer_jax.convert.parity.upscale_a_video import autoencoder, networks
from venhancer_jax.diffusion.noise import RecordedNoise
from venhancer_jax.diffusion.scheduler_config import SchedulerConfig
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.pipelines import catalog, programs
from venhancer_jax.pipelines.system import Clip, LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures
from venhancer_jax.pipelines.upscale_a_video.flow import Flows
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions
from venhancer_jax.pipelines.upscale_a_video.plan import plan_clip
from venhancer_jax.pipelines.upscale_a_video.prompts import texts_of
from venhancer_jax.pipelines.upscale_a_video.source import Source, read_source
from venhancer_jax.pipelines.upscale_a_video.system import UpscaleAVideo
from venhancer_jax.video.flow import resize_flows

_RATE = Fraction(24)


def replay_pipeline(recording: Recording) -> list[Case]:
    """Replays every run of a recording with the recorded noise, flows and text features."""
    info, tensors, name = recording.info, recording.tensors, recording.name
    system, cases = _system(recording), []
    for run, steps in info["propagation_steps"].items():
        if not any(f"_{run}" in key for key in tensors):
            continue
        options = _options(info, tuple(steps))
        source = _source(tensors, options)
        denoised = system.denoise_source(
            source,
            options,
            noise=_noise(tensors),
            text=_text(tensors["prompt_embeds"], options),
            flows=_flows(tensors, source) if steps else None,
        )
        for i, latents in enumerate(denoised.latents):
            key = f"latents_{run}" if len(denoised.latents) == 1 else f"latents_{run}_{i}"
            if (recorded := tensors.get(key)) is not None:
                cases.append(compare(f"{name}/{key}", latents, channels_last(recorded), FULL_SIZE))
        if (recorded := tensors.get(f"video_{run}")) is not None:
            pieces = system.decode_frames(denoised, options)
            video = np.concatenate([np.asarray(piece) for piece in pieces])
            recorded = channels_last(recorded)[0]
            cases.append(compare(f"{name}/video_{run}", video, recorded, NETWORK))
            if "saved" in tensors:
                ours = np.asarray(programs.to_bytes(jnp.asarray(video), truncate=True))
                cases.append(nearly_equal_bytes(f"{name}/saved", ours, tensors["saved"]))
    return cases + _facts(recording)


def _facts(recording: Recording) -> list[Case]:
    """Compares what a recording says of its tiles and prompts."""
    info, cases = recording.info, []
    options = _options(info, ())
    if boxes := info.get("tile", {}).get("input_boxes_y0y1x0x1"):
        tiles = _source(recording.tensors, options).plan.space.tiles
        ours = [(*tile.rows, *tile.columns) for tile in tiles]
        cases.append(equal(f"{recording.name}/input_boxes", ours, boxes))
    if "prompts" in info:
        same = texts_of(dataclasses.replace(options, guidance_scale=2.0)) == info["prompts"]
        cases.append(equal(f"{recording.name}/prompts", [same], [True]))
    return cases


def _options(info: Mapping[str, Any], propagation_steps: tuple[int, ...]) -> UpscaleAVideoOptions:
    tile = info.get("tile") or {}
    return UpscaleAVideoOptions(
        compat="official",
        steps=info["steps"],
        guidance_scale=info["guidance"],
        noise_level=info["noise_level"],
        propagation_steps=propagation_steps,
        # The flows are recorded, whatever their size.
        flow="dis",
        tile=tile.get("size", "none"),
        tile_overlap=tile.get("overlap", 64),
        colour=(info.get("color_fix") or "none").lower(),
    )


def _source(tensors: Mapping[str, np.ndarray], options: UpscaleAVideoOptions) -> Source:
    if "frames" in tensors:
        frames = channels_last(tensors["frames"])
        return read_source(frames, _RATE, options, lambda stage, done, total: None)
    frames = channels_last(tensors["image"])[0]
    count, height, width, _ = frames.shape
    clip = Clip(frames=count, height=height, width=width, rate=_RATE)
    return Source(plan_clip(clip, options), frames)


def _noise(tensors: Mapping[str, np.ndarray]) -> RecordedNoise:
    """Returns the noise of every tile, by stream."""
    streams: dict[str, Any] = {}
    for stream, recorded in (("low_res", "noise_lr"), ("start", "noise_latents")):
        names = [name for name in tensors if re.fullmatch(rf"{recorded}(_\d+)?", name)]
        names.sort(key=lambda name: int(name.removeprefix(recorded).strip("_") or 0))
        streams[stream] = [channels_last(tensors[name]) for name in names]
    return RecordedNoise(streams)


def _flows(tensors: Mapping[str, np.ndarray], source: Source) -> Flows:
    size = source.frames.shape[1:3]
    forward, backward = (
        resize_flows(channels_last(tensors[f"flows_{way}"])[0], size, official=True)
        for way in ("forward", "backward")
    )
    return forward, backward


def _text(recorded: np.ndarray, options: UpscaleAVideoOptions) -> jnp.ndarray:
    """Returns features of prompt and negative prompt, which are recorded in the other order."""
    return jnp.asarray(recorded[::-1] if options.guided else recorded[-1:])


def _system(recording: Recording) -> UpscaleAVideo:
    """Builds the system of a recording."""
    info = recording.info
    prefix = info.get("prefix") or {}
    prefixes = {"unet": prefix, "vae": prefix} if isinstance(prefix, str) else prefix

    def network(kind: str, role: str, config: Any, layout: str) -> LoadedNetwork:
        layers = kind, config, layout
        params = recording.params(
            layout_entries(*layers), layout_constants(*layers), prefix=prefixes.get(role, "")
        )
        return LoadedNetwork(config, catalog.build(kind, config), params)

    unet, text = networks.config_of(info["unet"]), ClipTextConfig.tiny()
    vae = autoencoder.config_of(info["vae"])
    return UpscaleAVideo(
        network("upscale_a_video", "unet", unet, "video" if unet.temporal else "image"),
        network("vae", "vae", vae, "diffusers_old"),
        TextFeatures(text, lambda: LoadedNetwork(text, catalog.build("text", text), {})),
        None,
        SchedulerConfig.from_dict(info["scheduler"]),
        SchedulerConfig.from_dict(info.get("low_res", info["scheduler"]), sampling=False).schedule,
    )
