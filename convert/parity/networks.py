"""Replays of the UNet, the ControlNet and their blocks."""

import functools
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import nnx

from venhancer_jax.convert import venhancer
from venhancer_jax.convert.layouts import layout_entries
from venhancer_jax.convert.parity.case import BLOCK, FULL_SIZE, NETWORK, Case, compare
from venhancer_jax.convert.parity.recording import Recording, channels_last, find
from venhancer_jax.convert.rules import Table, entries
from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import FunctionalModule, Params, functionalize
from venhancer_jax.models.layers.convolutions import Downsample, Upsample
from venhancer_jax.models.layers.resnet import ResBlock, TemporalConvLayer
from venhancer_jax.models.layers.transformer import (
    Attention,
    FeedForward,
    SpatialTransformer,
    TemporalTransformer,
    TransformerBlock,
)
from venhancer_jax.models.venhancer.controlnet import ControlledUNet, key_index_of_mask
from venhancer_jax.models.venhancer.unet3d import (
    DOWN_PADDING,
    UP_CROP_ROWS,
    UNet3D,
    UNet3DConfig,
)
from venhancer_jax.pipelines import catalog

# The reduced networks of the recordings, which some name instead of spelling out.
CONFIGS = {
    "full": UNet3DConfig.venhancer(),
    "r64": UNet3DConfig(width=64, first_temporal_heads=3, head_dim=32),
    "r32": UNet3DConfig(width=32, first_temporal_heads=2, head_dim=8),
}


def config_of(info: dict[str, Any]) -> UNet3DConfig:
    """The config of a recording, from the arguments of the PyTorch constructor or a name."""
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
    """UNet and ControlNet together, the ControlNet's features, and the UNet alone."""
    network, params, inputs, conditions, tolerance = _controlled(recording)
    tensors = recording.tensors

    def run(params: Any, x: jax.Array, t: jax.Array, text: jax.Array, conditions: Any) -> Any:
        module: ControlledUNet = network.bind(params)
        control = module.controlnet(x, t, text, **conditions)
        return module.unet(x, t, text, control), module.unet(x, t, text), control

    out, alone, control = jax.jit(run)(params, *inputs, conditions)
    cases = [_case(recording, "out", out, tolerance)]
    if "out_base_unet_no_control" in tensors:
        cases.append(_case(recording, "out_base_unet_no_control", alone, tolerance))
    for i, feature in enumerate(control):
        if f"control.{i}" in tensors:
            cases.append(_case(recording, f"control.{i}", _per_frame(feature), tolerance))
    return cases


def replay_base(recording: Recording) -> list[Case]:
    """The UNet alone."""
    config, tensors = config_of(dict(recording.info)), recording.tensors
    tolerance = FULL_SIZE if config == UNet3DConfig.venhancer() else NETWORK
    network = functionalize(lambda rngs: UNet3D(config, rngs))
    shapes = {name: leaf.shape for name, leaf in network.shapes.items()}
    params = recording.params(entries(venhancer.unet(config), shapes))
    inputs = (channels_last(tensors["x"]), tensors["t"], tensors["y"])
    return [_case(recording, "out", jax.jit(network.__call__)(params, *inputs), tolerance)]


def replay_block_outputs(recording: Recording) -> list[Case]:
    """Every block of the controlled UNet, on the inputs of the network recording beside it."""
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


def replay_block(recording: Recording) -> list[Case]:
    """A single module."""
    info = recording.info
    name = re.sub(r"_\d+", "", info["module"])
    if name not in _BLOCKS:
        raise InputError(f"unknown module {info['module']!r}: one of {', '.join(_BLOCKS)}")
    shapes = {n: tuple(s) for n, s in info["params"].items()}
    head_dim = info.get("head_dim", 16 if name == "cross_attention" else 32)
    build, table, run = _BLOCKS[name](shapes, head_dim)
    network = functionalize(build)
    ours = {name: leaf.shape for name, leaf in network.shapes.items()}
    params = recording.params(entries(table, ours))
    # Frames are folded into the batch; the note of a recording says how many videos there are.
    match = re.search(r"batch_size=(\d+)", info.get("note") or "")
    videos = info.get("batch_size", int(match.group(1)) if match else 1)
    arguments = [recording.tensors[f"in{i}"] for i in range(2) if f"in{i}" in recording.tensors]
    out = jax.jit(lambda params: run(network.bind(params), videos, *arguments))(params)
    return [compare(f"{recording.name}/out", out, recording.tensors["out"], BLOCK)]


def _case(recording: Recording, name: str, ours: jax.Array, tolerance: float) -> Case:
    recorded = channels_last(recording.tensors[name])
    return compare(f"{recording.name}/{name}", ours, recorded, tolerance)


def _per_frame(features: jax.Array) -> jax.Array:
    """`[B, F, H, W, C]` to `[(B F), H, W, C]`, as PyTorch has it."""
    return features.reshape(-1, *features.shape[2:])


def _controlled(recording: Recording) -> tuple[FunctionalModule, Params, tuple, dict, float]:
    """Network, parameters, inputs, conditions and tolerance of a network recording."""
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
    """The network recording whose blocks these are."""
    for other in find([str(recording.path.parent)], recording.checkpoint):
        if other.kind == "network" and recording.name.startswith(other.name):
            return other
    raise InputError(
        f"{recording.path} needs the network recording {recording.name.split('_unet')[0]!r}"
        " beside it, for its inputs"
    )


# A module of ours, its rules, and how it runs on tensors in the layout of PyTorch.
_Built = tuple[Callable[[nnx.Rngs], nnx.Module], Table, Callable[..., jax.Array]]
_OPTIONS: dict[str, Any] = {"implementation": "auto", "dtype": jnp.float32}


def _videos(x: np.ndarray, videos: int) -> jax.Array:
    return rearrange(jnp.asarray(x), "(b f) c h w -> b f h w c", b=videos)


def _frames(x: jax.Array) -> jax.Array:
    return rearrange(x, "b f h w c -> (b f) c h w")


def _res_block(shapes: dict[str, tuple[int, ...]], head_dim: int) -> _Built:
    del head_dim
    wide, narrow = shapes["in_layers.2.weight"][:2]
    widths = {"embedding_width": shapes["emb_layers.1.weight"][1], "dtype": jnp.float32}
    table = dict(venhancer.RESNET)
    if "skip_connection.weight" in shapes:
        table |= venhancer.SHORTCUT

    def run(m: Any, videos: int, x: np.ndarray, e: np.ndarray) -> jax.Array:
        embedding = rearrange(jnp.asarray(e), "(b f) e -> b f e", b=videos)
        return _frames(m(_videos(x, videos), embedding))

    return lambda rngs: ResBlock(narrow, wide, rngs=rngs, **widths), table, run


def _temporal_conv(shapes: dict[str, tuple[int, ...]], head_dim: int) -> _Built:
    del head_dim
    channels = shapes["conv1.0.weight"][0]
    prefix = "temporal."
    table = {
        ours.removeprefix(prefix): _without(source, "temopral_conv.")
        for ours, source in venhancer.RESNET.items()
        if ours.startswith(prefix)
    }
    return (
        lambda rngs: TemporalConvLayer(channels, dtype=jnp.float32, rngs=rngs),
        table,
        lambda m, videos, x: jnp.moveaxis(m(jnp.moveaxis(x, 1, -1)), -1, 1),
    )


def _spatial(shapes: dict[str, tuple[int, ...]], head_dim: int) -> _Built:
    channels = shapes["proj_in.weight"][0]
    context = shapes["transformer_blocks.0.attn2.to_k.weight"][1]

    def run(m: Any, videos: int, x: np.ndarray, text: np.ndarray) -> jax.Array:
        # The recorded text is repeated for every frame: each frame is a video of its own here.
        del videos
        return _frames(m(_videos(x, len(x)), text))

    def build(rngs: nnx.Rngs) -> SpatialTransformer:
        return SpatialTransformer(
            channels, context_width=context, head_dim=head_dim, rngs=rngs, **_OPTIONS
        )

    return build, venhancer.SPATIAL, run


def _temporal(shapes: dict[str, tuple[int, ...]], head_dim: int) -> _Built:
    inner, channels = shapes["proj_in.weight"][:2]

    def build(rngs: nnx.Rngs) -> TemporalTransformer:
        return TemporalTransformer(
            channels, inner=inner, head_dim=head_dim, pixels_at_once=4096, rngs=rngs, **_OPTIONS
        )

    def run(m: Any, videos: int, x: np.ndarray, text: np.ndarray | None = None) -> jax.Array:
        del videos, text
        return jnp.moveaxis(m(jnp.moveaxis(x, 1, -1)), -1, 1)

    return build, venhancer.TEMPORAL, run


def _sampling(module: Callable[..., Any], ours: str) -> Callable[..., _Built]:
    def of(shapes: dict[str, tuple[int, ...]], head_dim: int) -> _Built:
        del head_dim
        ((key, shape),) = [(n, s) for n, s in shapes.items() if n.endswith("weight")]
        return (
            lambda rngs: module(shape[0], dtype=jnp.float32, rngs=rngs),
            {ours: key.removesuffix(".weight")},
            lambda m, videos, x: _frames(m(_videos(x, videos))),
        )

    return of


def _attention(shapes: dict[str, tuple[int, ...]], head_dim: int) -> _Built:
    width, context = shapes["to_q.weight"][0], shapes["to_k.weight"][1]

    def build(rngs: nnx.Rngs) -> Attention:
        return Attention(width, context_width=context, head_dim=head_dim, rngs=rngs, **_OPTIONS)

    return build, venhancer.ATTENTION, _one_group


def _feed_forward(shapes: dict[str, tuple[int, ...]], head_dim: int) -> _Built:
    del head_dim
    width = shapes["net.0.proj.weight"][1]
    return (
        lambda rngs: FeedForward(width, dtype=jnp.float32, rngs=rngs),
        venhancer.FEED_FORWARD,
        lambda m, videos, x: m(x),
    )


def _transformer_block(shapes: dict[str, tuple[int, ...]], head_dim: int) -> _Built:
    width, context = shapes["norm1.weight"][0], shapes["attn2.to_k.weight"][1]

    def build(rngs: nnx.Rngs) -> TransformerBlock:
        return TransformerBlock(
            width, context_width=context, head_dim=head_dim, rngs=rngs, **_OPTIONS
        )

    return build, venhancer.TRANSFORMER_BLOCK, _one_group


def _one_group(m: Any, videos: int, *inputs: np.ndarray) -> jax.Array:
    """`[B, N, D]` as one group of tokens each."""
    del videos
    return m(*(x[:, None] for x in inputs))[:, 0]


def _without(source: Any, prefix: str) -> Any:
    """The source with a prefix taken off its names."""
    if isinstance(source, str):
        return source.removeprefix(prefix)
    return type(source)(tuple(n.removeprefix(prefix) for n in source.names), ones=source.ones)


_BLOCKS: dict[str, Callable[[dict[str, tuple[int, ...]], int], _Built]] = {
    "resblock": _res_block,
    "temporal_conv_v2": _temporal_conv,
    "spatial_transformer": _spatial,
    "temporal_transformer": _temporal,
    "downsample": _sampling(functools.partial(Downsample, padding=DOWN_PADDING), "conv"),
    "upsample": _sampling(functools.partial(Upsample, crop_rows=UP_CROP_ROWS), "conv"),
    "cross_attention": _attention,
    "geglu_ff": _feed_forward,
    "basic_block_temporal": _transformer_block,
}
