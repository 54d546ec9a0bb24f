"""Replays of single blocks."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import nnx

from venhancer_jax.convert import upscale_a_video as rules
from venhancer_jax.convert.parity.case import BLOCK, Case, compare, equal
from venhancer_jax.convert.parity.recording import Recording, channels_last
from venhancer_jax.convert.parity.upscale_a_video import autoencoder
from venhancer_jax.convert.rules import Table, constants, entries
from venhancer_jax.convert.transformers import ATTENTION, FEED_FORWARD
from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import functionalize
from venhancer_jax.models.layers.convolutions import Downsample, Upsample
from venhancer_jax.models.layers.embeddings import MLP, sinusoidal_embedding
from venhancer_jax.models.layers.multi_head import Attention, TemporalAttention
from venhancer_jax.models.layers.positions import distance_buckets, rotary_frequencies, rotate
from venhancer_jax.models.layers.resnet import ResBlock, TemporalResBlock
from venhancer_jax.models.layers.transformer import FeedForward
from venhancer_jax.models.upscale_a_video.blocks import (
    DOWN_PADDING,
    TemporalModule,
    VideoTransformer,
)
from venhancer_jax.models.upscale_a_video.config import UpscaleUNetConfig

_Shapes = Mapping[str, tuple[int, ...]]
_FLOAT: dict[str, Any] = {"dtype": jnp.float32}


def replay_block(recording: Recording) -> list[Case]:
    """Replays a single module.

    Raises:
      InputError: an unknown module.
    """
    module = recording.info["module"]
    tables = (BLOCKS, autoencoder.BLOCKS)
    known = {name for table in tables for name in table}
    # Names of variants go on behind the name of the module: temporal_attn_b, resnet3dcnn_k5.
    names = sorted((n for n in known if module.startswith(n)), key=len)
    if not names:
        raise InputError(f"unknown module {module!r}: expected one of {', '.join(sorted(known))}")
    # UNet and VAE resample by layers of one recording.
    return [case for t in tables if names[-1] in t for case in t[names[-1]](recording)]


class _Module:
    """A module with the recorded weights.

    Attributes:
      recording: recording whose tensors are compared.
      network: module without its parameters.
      params: recorded parameters.
    """

    def __init__(
        self,
        recording: Recording,
        build: Callable[[nnx.Rngs], nnx.Module],
        table: Table,
        prefix: str | None = None,
    ):
        self.recording = recording
        self.network = functionalize(build)
        shapes = {name: leaf.shape for name, leaf in self.network.shapes.items()}
        self.params = recording.params(entries(table, shapes), constants(table), prefix=prefix)

    def case(
        self,
        name: str,
        run: Callable[..., jax.Array],
        *inputs: np.ndarray | None,
        axis: int = 1,
    ) -> Case:
        """Compares what the module computes with a recorded tensor.

        Args:
          name: name of the tensor.
          run: function of the module and the inputs.
          *inputs: inputs.
          axis: position of the channels in the recorded tensor, -1 for channels last.
        """
        out = jax.jit(lambda params, *x: run(self.network.bind(params), *x))(self.params, *inputs)
        recorded = channels_last(self.recording.tensors[name], axis)
        return compare(f"{self.recording.name}/{name}", out, recorded, BLOCK)


def _shapes(recording: Recording, prefix: str | None = None) -> _Shapes:
    shapes = recording.info["params"]
    shapes = shapes[prefix] if prefix else shapes
    return {name: tuple(shape) for name, shape in shapes.items()}


def _embedding(recording: Recording) -> np.ndarray | None:
    """Returns the embedding `[B, 1, E]`, if one was recorded."""
    return recording.tensors["temb"][:, None] if "temb" in recording.tensors else None


def _replay_rotary(recording: Recording) -> list[Case]:
    tensors = recording.tensors
    cases = [
        compare(f"{recording.name}/y", jax.jit(rotate)(tensors["x"]), tensors["y"], BLOCK),
    ]
    if "freqs" in tensors:
        cases.append(equal(f"{recording.name}/freqs", rotary_frequencies(), tensors["freqs"]))
    return cases


def _replay_relative_bias(recording: Recording) -> list[Case]:
    heads = recording.info["heads"]

    def build(rngs: nnx.Rngs) -> TemporalAttention:
        options: dict[str, Any] = {"pixels_at_once": 1, "implementation": "auto", **_FLOAT}
        return TemporalAttention(32 * heads, head_dim=32, rngs=rngs, **options)

    # The bias alone: the recording has no projections.
    network = functionalize(build)
    name = "relative_bias.embedding"
    table: Table = {"relative_bias": "relative_attention_bias"}
    bias = recording.params(entries(table, {name: network.shapes[name].shape}))
    params = {n: bias.get(n, jnp.zeros(x.shape)) for n, x in network.shapes.items()}
    cases = []
    for key, recorded in recording.tensors.items():
        kind, frames = re.fullmatch(r"(\D+)(\d+)", key).groups()  # pyright: ignore[reportOptionalMemberAccess]
        if kind == "bucket":
            ours = distance_buckets(int(frames))
            cases.append(equal(f"{recording.name}/{key}", ours, recorded))
        else:
            ours = network.bind(params).bias(int(frames))
            cases.append(compare(f"{recording.name}/{key}", ours, recorded, BLOCK))
    return cases


def _replay_temporal_attention(recording: Recording) -> list[Case]:
    width = _shapes(recording)["to_q.weight"][0]
    head_dim = width // recording.info["heads"]

    def build(rngs: nnx.Rngs) -> TemporalAttention:
        options: dict[str, Any] = {"pixels_at_once": 4, "implementation": "auto", **_FLOAT}
        return TemporalAttention(width, head_dim=head_dim, rngs=rngs, **options)

    module = _Module(recording, build, rules.TEMPORAL_ATTENTION)
    # The recorded batch is one of pixels.
    pixels = rearrange(recording.tensors["x"], "n f c -> 1 f n c")
    run = lambda m, x: rearrange(m(x), "1 f n c -> n f c")  # noqa: E731
    return [module.case("y", run, pixels, axis=-1)]


def _replay_attention(recording: Recording) -> list[Case]:
    tensors, cases = recording.tensors, []
    for name, prefix, key in (("y", "prefix", "ctx"), ("y_self", "prefix_self", "x")):
        if name not in tensors:
            continue
        width, context = _shapes(recording, prefix)["to_k.weight"]

        def build(rngs: nnx.Rngs, width: int = width, context: int = context) -> Attention:
            head_dim = width // recording.info["heads"]
            options: dict[str, Any] = {"head_dim": head_dim, "implementation": "auto", **_FLOAT}
            return Attention(width, context_width=context, rngs=rngs, **options)

        module = _Module(recording, build, ATTENTION, recording.info[prefix])
        run = lambda m, x, context: m(x, context)[:, 0]  # noqa: E731
        inputs = (tensors["x"][:, None], tensors[key][:, None])
        cases.append(module.case(name, run, *inputs, axis=-1))
    return cases


def _replay_feed_forward(recording: Recording) -> list[Case]:
    width = _shapes(recording)["net.0.proj.weight"][1]
    build = lambda rngs: FeedForward(width, rngs=rngs, **_FLOAT)  # noqa: E731
    module = _Module(recording, build, FEED_FORWARD)
    return [module.case("y", lambda m, x: m(x), recording.tensors["x"], axis=-1)]


def _replay_transformer(recording: Recording) -> list[Case]:
    """Replays a transformer, and its block on recorded tokens."""
    shapes, tensors, name = _shapes(recording), recording.tensors, recording.info["module"]
    width, source = shapes["transformer_blocks.0.attn1.to_k.weight"]
    context_width = shapes["transformer_blocks.0.attn2.to_k.weight"][1]
    # Where the text is as wide as the features, weights do not tell what is attended to.
    only_cross = source == context_width if context_width != width else "onlycross" in name
    config = UpscaleUNetConfig(
        channels=(width,), heads=(recording.info["heads"],), context_width=context_width
    )

    def build(rngs: nnx.Rngs) -> VideoTransformer:
        return VideoTransformer(config, 0, only_cross=only_cross, rngs=rngs)

    def run_block(m: VideoTransformer, tokens: jax.Array, text: jax.Array) -> jax.Array:
        videos = rearrange(tokens, "(b f) n c -> b f n c", b=len(text))
        text = text[:, None]
        out = m.spatial.block(videos, text, first=text if only_cross else None)
        return rearrange(out, "b f n c -> (b f) n c")

    module = _Module(recording, build, rules.VIDEO_TRANSFORMER)
    x, text = channels_last(tensors["x"]), tensors["ctx"]
    cases = [module.case("y", lambda m, *inputs: m(*inputs), x, text)]
    if "y_block" in tensors:
        cases.append(module.case("y_block", run_block, tensors["tokens"], text, axis=-1))
    return cases


def _replay_res_block(recording: Recording) -> list[Case]:
    shapes = _shapes(recording)
    wide, narrow = shapes["conv1.weight"][:2]
    epsilon, width = recording.info.get("eps", 1e-5), shapes["time_emb_proj.weight"][1]

    def build(rngs: nnx.Rngs) -> ResBlock:
        options: dict[str, Any] = {"over_frames": True, "epsilon": epsilon, **_FLOAT}
        return ResBlock(narrow, wide, embedding_width=width, rngs=rngs, **options)

    shortcut = rules.SHORTCUT if "conv_shortcut.weight" in shapes else {}
    table = {**rules.RESNET, **rules.EMBEDDING, **shortcut}
    return [_video_case(_Module(recording, build, table), "y")]


def _replay_temporal_res_block(recording: Recording) -> list[Case]:
    shapes = _shapes(recording)
    channels, _, frames = shapes["conv1.weight"][:3]
    embeds = "time_emb_proj.weight" in shapes
    width = shapes["time_emb_proj.weight"][1] if embeds else None

    def build(rngs: nnx.Rngs) -> TemporalResBlock:
        return TemporalResBlock(channels, frames=frames, embedding_width=width, rngs=rngs, **_FLOAT)

    table = {**rules.TEMPORAL_RESNET, **(rules.EMBEDDING if embeds else {})}
    return [_video_case(_Module(recording, build, table), "y")]


def _replay_temporal_module(recording: Recording) -> list[Case]:
    """Replays a temporal module, its result weighted by `.5` in `y_w05`."""
    shapes = _shapes(recording)
    channels = shapes["shift_conv.weight"][0]
    width = shapes["resblocks_3d_temporal.time_emb_proj.weight"][1]
    config = UpscaleUNetConfig(channels=(width // 4,))
    module = _Module(
        recording, lambda rngs: TemporalModule(config, channels, rngs), rules.TEMPORAL_MODULE
    )
    cases = [_video_case(module, "y")]
    for name in recording.tensors:
        if match := re.fullmatch(r"y_w(\d)(\d+)", name):
            weight = float(".".join(match.groups()))
            run = lambda m, x, e, weight=weight: x + weight * m.residual(x, e)  # noqa: E731
            cases.append(_video_case(module, name, run))
    return cases


def _video_case(
    module: _Module,
    name: str,
    run: Callable[..., jax.Array] = lambda m, *inputs: m(*inputs),
) -> Case:
    """Compares a module of videos, conditioned on an embedding where one was recorded."""
    recording = module.recording
    return module.case(name, run, channels_last(recording.tensors["x"]), _embedding(recording))


def _replay_resampling(recording: Recording) -> list[Case]:
    """Replays upsampling, to an odd size too, and downsampling."""
    channels = _shapes(recording)["conv.weight"][0]
    builds = {
        "up": lambda rngs: Upsample(channels, rngs=rngs, **_FLOAT),
        "dn": lambda rngs: Downsample(channels, padding=DOWN_PADDING, rngs=rngs, **_FLOAT),
    }
    cases = []
    for name, recorded in recording.tensors.items():
        if (kind := name.partition("_")[0]) not in builds:
            continue
        prefix = next(p for p in recording.info["prefix"] if p.endswith(f"{kind}."))
        module = _Module(recording, builds[kind], {"conv": "conv"}, prefix)
        size = {"size": recorded.shape[-2:]} if name.endswith("_odd") else {}
        run = lambda m, x, size=size: m(x, **size)  # noqa: E731
        cases.append(module.case(name, run, channels_last(recording.tensors["x"])))
    return cases


def _replay_time_embedding(recording: Recording) -> list[Case]:
    tensors, t = recording.tensors, recording.tensors["t"]
    width, narrow = _shapes(recording)["linear_1.weight"]
    module = _Module(recording, lambda rngs: MLP(narrow, width, rngs=rngs, **_FLOAT), rules.MLP)
    cases = [module.case("emb", lambda m, t: m(sinusoidal_embedding(t, narrow)), t, axis=-1)]
    for name, recorded in tensors.items():
        if name.startswith("sincos"):
            ours = sinusoidal_embedding(jnp.asarray(t), recorded.shape[-1])
            cases.append(compare(f"{recording.name}/{name}", ours, recorded, BLOCK))
    return cases


# Replays of recorded blocks by the start of their module's name.
BLOCKS: dict[str, Callable[[Recording], list[Case]]] = {
    "rotary": _replay_rotary,
    "relbias": _replay_relative_bias,
    "temporal_attn": _replay_temporal_attention,
    "cross_attn": _replay_attention,
    "geglu_ff": _replay_feed_forward,
    "transformer3d": _replay_transformer,
    "resnet3d": _replay_res_block,
    "resnet3dcnn": _replay_temporal_res_block,
    "temporal_module3d": _replay_temporal_module,
    "updown": _replay_resampling,
    "time_embed": _replay_time_embedding,
}
