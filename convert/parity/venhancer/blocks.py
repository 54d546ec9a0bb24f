"""Replays of single blocks of the UNet."""

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
from venhancer_jax.convert.parity.case import BLOCK, Case, compare
from venhancer_jax.convert.parity.recording import Recording
from venhancer_jax.convert.rules import Table, entries
from venhancer_jax.convert.transformers import (
    ATTENTION,
    FEED_FORWARD,
    SPATIAL,
    TRANSFORMER_BLOCK,
)
from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import functionalize
from venhancer_jax.models.layers.convolutions import Downsample, Upsample
from venhancer_jax.models.layers.multi_head import Attention
from venhancer_jax.models.layers.resnet import TemporalConvLayer, VideoResBlock
from venhancer_jax.models.layers.transformer import (
    FeedForward,
    SpatialTransformer,
    TemporalTransformer,
    TransformerBlock,
)
from venhancer_jax.models.venhancer.unet3d import DOWN_PADDING, UP_CROP_ROWS


def replay_block(recording: Recording) -> list[Case]:
    """Replays a single module."""
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

    return lambda rngs: VideoResBlock(narrow, wide, rngs=rngs, **widths), table, run


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

    return build, SPATIAL, run


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

    return build, ATTENTION, _one_group


def _feed_forward(shapes: dict[str, tuple[int, ...]], head_dim: int) -> _Built:
    del head_dim
    width = shapes["net.0.proj.weight"][1]
    return (
        lambda rngs: FeedForward(width, dtype=jnp.float32, rngs=rngs),
        FEED_FORWARD,
        lambda m, videos, x: m(x),
    )


def _transformer_block(shapes: dict[str, tuple[int, ...]], head_dim: int) -> _Built:
    width, context = shapes["norm1.weight"][0], shapes["attn2.to_k.weight"][1]

    def build(rngs: nnx.Rngs) -> TransformerBlock:
        return TransformerBlock(
            width, context_width=context, head_dim=head_dim, rngs=rngs, **_OPTIONS
        )

    return build, TRANSFORMER_BLOCK, _one_group


def _one_group(m: Any, videos: int, *inputs: np.ndarray) -> jax.Array:
    """Runs a module on tokens `[B, N, D]`, each video as one group."""
    del videos
    return m(*(x[:, None] for x in inputs))[:, 0]


def _without(source: Any, prefix: str) -> Any:
    """Removes a prefix from the names of a source."""
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
