"""Replays of the whole UNet."""

from pathlib import PurePosixPath
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.convert.layouts import layout_constants, layout_entries
from venhancer_jax.convert.parity.case import FULL_SIZE, NETWORK, Case, compare, failed
from venhancer_jax.convert.parity.recording import Recording, channels_last
from venhancer_jax.errors import InputError
from venhancer_jax.models.layers.text_kv_cache import Text, text_for
from venhancer_jax.models.upscale_a_video.config import UpscaleUNetConfig
from venhancer_jax.models.upscale_a_video.unet import UpscaleUNet
from venhancer_jax.pipelines import catalog

# Networks that recordings name instead of spelling out.
CONFIGS = {
    "unet_video": UpscaleUNetConfig.upscale_a_video(),
    "unet_reduced": UpscaleUNetConfig.reduced(),
}
_INPUTS = ("sample", "low_res", "ctx", "t", "class_labels")


def config_of(config: Any) -> UpscaleUNetConfig:
    """Returns the config of a recorded UNet.

    Args:
      config: config of the PyTorch module, or the name of a network in `CONFIGS`, possibly as the
        path of a JSON file.

    Raises:
      InputError: an unknown name, or temporal layers at some levels only.
    """
    if isinstance(config, str):
        name = PurePosixPath(config).stem
        if name not in CONFIGS:
            raise InputError(f"unknown UNet {config!r}: expected one of {', '.join(CONFIGS)}")
        return CONFIGS[name]
    channels = tuple(config["block_out_channels"])
    levels = range(len(channels))
    temporal = {
        tuple(config.get("down_temporal_idx", ())),
        tuple(config.get("up_temporal_idx", ())),
        tuple(levels if config.get("mid_temporal") else ()),
    }
    if temporal not in ({()}, {tuple(levels)}):
        raise InputError(f"temporal levels {temporal}: expected all of {list(levels)}, or none")
    only_cross = _per_level(config.get("only_cross_attention", False), len(levels))
    types = config["down_block_types"]
    return UpscaleUNetConfig(
        in_channels=config["in_channels"],
        latent_channels=config["out_channels"],
        channels=channels,
        blocks_per_level=config["layers_per_block"],
        attention_levels=tuple(i for i in levels if "CrossAttn" in types[i]),
        only_cross_levels=tuple(i for i in levels if only_cross[i]),
        # The "attention_head_dim" of diffusers is the number of heads.
        heads=_per_level(config["attention_head_dim"], len(levels)),
        context_width=config["cross_attention_dim"],
        labels=config.get("num_class_embeds") or 0,
        temporal=temporal != {()},
    )


def replay_network(recording: Recording) -> list[Case]:
    """Replays the UNet, and the outputs of its levels that were recorded."""
    tensors, config = recording.tensors, config_of(recording.info["config"])
    tolerance = FULL_SIZE if config.channels == UpscaleUNetConfig().channels else NETWORK
    network = catalog.build("upscale_a_video", config)
    layout = ("upscale_a_video", config, "video" if config.temporal else "image")
    params = recording.params(layout_entries(*layout), layout_constants(*layout))
    inputs = _inputs(recording)
    ours = {"y": jax.jit(network.__call__)(params, *inputs)}
    if any(name.startswith("act:") for name in tensors):
        ours |= jax.jit(lambda params, *x: level_outputs(network.bind(params), *x))(params, *inputs)
    return [
        compare(f"{recording.name}/{name}", ours[name], channels_last(recorded), tolerance)
        if name in ours
        else failed(f"{recording.name}/{name}", "no such tensor here", tolerance)
        for name, recorded in tensors.items()
        if name not in _INPUTS and not name.startswith("weight.")
    ]


def _inputs(recording: Recording) -> tuple[Any, ...]:
    """Returns features, time steps, text and noise levels of a recorded call."""
    info, tensors = recording.info, recording.tensors
    parts = [channels_last(tensors[name]) for name in ("sample", "low_res") if name in tensors]
    x = np.concatenate(parts, axis=-1)

    def of_each(name: str, dtype: type) -> np.ndarray | None:
        value = tensors[name] if name in tensors else info.get(name)
        return None if value is None else np.broadcast_to(np.asarray(value, dtype), len(x))

    return x, of_each("t", np.float32), tensors["ctx"], of_each("class_labels", np.int32)


def level_outputs(
    module: UpscaleUNet, x: jax.Array, t: jax.Array, text: Text, label: jax.Array | None
) -> dict[str, jax.Array]:
    """Computes the output of every level, before and after its temporal module.

    Args:
      module: UNet; the other arguments are its inputs.
      x: noisy latents and noisy low-resolution frames `[B, F, h, w, 7]`.
      t: time steps `[B]`.
      text: text features `[B, L, D]`, or their keys and values.
      label: noise levels `[B]`.

    Returns:
      Features `[B, F, h', w', C]` by the names of recorded activations, in order of computation.
    """
    found: dict[str, jax.Array] = {}
    embedding = module.embed(t, label)
    found["conv_in"] = y = module.conv_in(jnp.asarray(x))
    skips = [y]
    for i, level in enumerate(module.down):
        skips += level(y, embedding, text_for(text, f"down.{i}"))
        found[f"down_blocks.{i}"] = y = skips[-1]
        found[f"down_temp_blocks.{i}"] = y = level.mix(y, embedding)
    found["mid_block"] = y = module.middle(y, embedding, text_for(text, "middle"))
    found["mid_temp_block"] = y = module.middle.mix(y, embedding)
    for i, level in enumerate(module.up):
        found[f"up_blocks.{i}"] = y = level(y, skips, embedding, text_for(text, f"up.{i}"))
        found[f"up_temp_blocks.{i}"] = y = level.mix(y, embedding)
    return {f"act:{name}": y for name, y in found.items()}


def _per_level(value: Any, levels: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,) * levels
