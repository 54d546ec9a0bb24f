"""Replays of the UNet and the ControlNet."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from venhancer_jax.convert import venhancer
from venhancer_jax.convert.layouts import layout_entries
from venhancer_jax.convert.parity.case import FULL_SIZE, NETWORK, Case, compare
from venhancer_jax.convert.parity.recording import Recording, channels_last, find
from venhancer_jax.convert.rules import entries
from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import FunctionalModule, Params, functionalize
from venhancer_jax.models.venhancer.controlnet import ControlledUNet, key_index_of_mask
from venhancer_jax.models.venhancer.unet3d import UNet3D, UNet3DConfig
from venhancer_jax.pipelines import catalog

# The reduced networks of the recordings, which some name instead of spelling out.
CONFIGS = {
    "full": UNet3DConfig.venhancer(),
    "r64": UNet3DConfig(width=64, first_temporal_heads=3, head_dim=32),
    "r32": UNet3DConfig(width=32, first_temporal_heads=2, head_dim=8),
}


def config_of(info: dict[str, Any]) -> UNet3DConfig:
    """Returns the config of a recorded network.

    Args:
      info: metadata with `kwargs` of the PyTorch constructor, or the name of a `config`.

    Raises:
      InputError: an unknown name.
    """
    kwargs = info.get("kwargs")
    if kwargs is None:
        if info.get("config") not in CONFIGS:
            raise InputError(f"unknown network {info.get('config')!r}: give its kwargs")
        return CONFIGS[info["config"]]
    return UNet3DConfig(
        latent_channels=kwargs["in_dim"],
        width=kwargs["dim"],
        multipliers=tuple(kwargs["dim_mult"]),
        blocks_per_level=kwargs["num_res_blocks"],
        context_width=kwargs["context_dim"],
        head_dim=kwargs["head_dim"],
        first_temporal_heads=kwargs["num_heads"],
    )


def replay_network(recording: Recording) -> list[Case]:
    """Replays UNet and ControlNet together, the ControlNet's features, and the UNet alone."""
    network, params, inputs, conditions, tolerance = _controlled(recording)
    tensors = recording.tensors

    def run(params: Any, x: jax.Array, t: jax.Array, text: jax.Array, conditions: Any) -> Any:
        module: ControlledUNet = network.bind(params)
        control = module.controlnet(x, t, text, **conditions)
        alone = module.unet(x, t, text) if "out_base_unet_no_control" in tensors else None
        return module.unet(x, t, text, control), alone, control

    out, alone, control = jax.jit(run)(params, *inputs, conditions)
    cases = [_case(recording, "out", out, tolerance)]
    if alone is not None:
        cases.append(_case(recording, "out_base_unet_no_control", alone, tolerance))
    for i, feature in enumerate(control):
        if f"control.{i}" in tensors:
            cases.append(_case(recording, f"control.{i}", _per_frame(feature), tolerance))
    return cases


def replay_base(recording: Recording) -> list[Case]:
    """Replays the UNet alone."""
    config, tensors = config_of(dict(recording.info)), recording.tensors
    tolerance = FULL_SIZE if config == UNet3DConfig.venhancer() else NETWORK
    network = functionalize(lambda rngs: UNet3D(config, rngs))
    shapes = {name: leaf.shape for name, leaf in network.shapes.items()}
    params = recording.params(entries(venhancer.unet(config), shapes))
    inputs = (channels_last(tensors["x"]), tensors["t"], tensors["y"])
    return [_case(recording, "out", jax.jit(network.__call__)(params, *inputs), tolerance)]


def replay_block_outputs(recording: Recording) -> list[Case]:
    """Replays every block of the controlled UNet, on the inputs of its network recording."""
    beside = _network_beside(recording)
    network, params, inputs, conditions, _ = _controlled(beside)

    def run(
        params: Any, x: jax.Array, t: jax.Array, text: jax.Array, conditions: Any
    ) -> dict[str, jax.Array]:
        module: ControlledUNet = network.bind(params)
        unet = module.unet
        *on_skips, on_middle = module.controlnet(x, t, text, **conditions)
        embedding = unet.encoder.embed_time(t)
        *skips, _ = unet.encoder(x, embedding, text)
        outputs = {f"input_blocks.{i}": y for i, y in enumerate(skips)}
        middle, y = unet.encoder.middle_block, skips[-1]
        steps: tuple[Callable[[jax.Array], jax.Array], ...] = (
            lambda y: middle.resnet1(y, embedding),
            lambda y: middle.spatial(y, text),
            middle.temporal,
            lambda y: middle.resnet2(y, embedding),
        )
        for i, step in enumerate(steps):
            outputs[f"middle_block.{i}"] = y = step(y)
        y = y + on_middle
        for i, block in enumerate(unet.output_blocks):
            skip = skips.pop() + on_skips.pop()
            y = block(jnp.concatenate([y, skip], axis=-1), embedding, text)
            outputs[f"output_blocks.{i}"] = y
        return outputs

    outputs = jax.jit(run)(params, *inputs, conditions)
    return [
        _case(recording, name, _per_frame(outputs[name]), NETWORK)
        for name in recording.tensors
        if name in outputs
    ]


def _case(recording: Recording, name: str, ours: jax.Array, tolerance: float) -> Case:
    recorded = channels_last(recording.tensors[name])
    return compare(f"{recording.name}/{name}", ours, recorded, tolerance)


def _per_frame(features: jax.Array) -> jax.Array:
    """Reshapes `[B, F, H, W, C]` to `[(B F), H, W, C]`."""
    return features.reshape(-1, *features.shape[2:])


def _controlled(recording: Recording) -> tuple[FunctionalModule, Params, tuple, dict, float]:
    """Returns network, parameters, inputs, conditions and tolerance of a network recording."""
    config, tensors = config_of(dict(recording.info)), recording.tensors
    network = catalog.build("venhancer", config)
    params = recording.params(layout_entries("venhancer", config, "venhancer"))
    inputs = (channels_last(tensors["x"]), tensors["t"], tensors["y"])
    theirs = {"hint": "hint", "hint_t": "t_hint", "scale": "s_cond", "key_index": "mask_cond"}
    conditions: dict[str, Any] = {
        ours: tensors[name] for ours, name in theirs.items() if name in tensors
    }
    if "hint" in conditions:
        conditions["hint"] = channels_last(conditions["hint"])
    if recording.info.get("mask_convention") == "first release":
        conditions["key_index"] = key_index_of_mask(jnp.asarray(conditions["key_index"]))
    tolerance = FULL_SIZE if config == UNet3DConfig.venhancer() else NETWORK
    return network, params, inputs, conditions, tolerance


def _network_beside(recording: Recording) -> Recording:
    """Finds the network recording of the same call, in the folder of the recording of blocks."""
    for other in find([str(recording.path.parent)], recording.checkpoint):
        if other.kind == "network" and recording.name.startswith(other.name):
            return other
    raise InputError(
        f"{recording.path} needs the network recording {recording.name.split('_unet')[0]!r}"
        " beside it, for its inputs"
    )
