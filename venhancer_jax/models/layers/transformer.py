"""Spatial and temporal transformers: over the pixels of a frame, over the frames of a pixel."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.kernels.temporal_attention import suits, temporal_attention
from venhancer_jax.models.layers.attention import Implementation, attention, dense_attention
from venhancer_jax.models.layers.chunking import map_chunks
from venhancer_jax.models.layers.initializers import fan_in_normal, zeros
from venhancer_jax.models.layers.linear import Linear
from venhancer_jax.models.layers.norms import GroupNorm
from venhancer_jax.models.layers.positions import BUCKETS, distance_buckets, rotate
from venhancer_jax.sharding.mesh import cache_bytes, constrain, is_sharded
from venhancer_jax.sharding.shard_map import pad_to_shards, shard_map_over

_BY_FRAME = ("batch", "frame", "token", None)
_BY_PIXEL = ("batch", None, "pixel", None)

# Projections of a context, `[..., M, D]` each.
KeysValues = tuple[jax.Array, jax.Array]


class Attention(nnx.Module):
    """Multi-head attention with linear projections; heads are contiguous channel groups."""

    def __init__(
        self,
        width: int,
        *,
        context_width: int | None = None,
        head_dim: int,
        zero_out: bool = False,
        implementation: Implementation,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        out_init = zeros if zero_out else fan_in_normal
        source = context_width or width
        self.to_q = Linear(width, width, use_bias=False, dtype=dtype, rngs=rngs)
        self.to_k = Linear(source, width, use_bias=False, dtype=dtype, rngs=rngs)
        self.to_v = Linear(source, width, use_bias=False, dtype=dtype, rngs=rngs)
        self.to_out = Linear(width, width, kernel_init=out_init, dtype=dtype, rngs=rngs)
        self.head_dim = head_dim
        self.implementation: Implementation = implementation

    def __call__(
        self,
        x: jax.Array,
        context: jax.Array | KeysValues | None = None,
        *,
        over_groups: bool = False,
    ) -> jax.Array:
        """Attends within each group of tokens, or from it to a context.

        Args:
          x: tokens `[B, G, N, D]` in G groups.
          context: tokens `[B, 1, M, D']` of all groups, or their keys and values; None for `x`.
          over_groups: whether to attend along G instead of N.
        """
        if not isinstance(context, tuple):
            context = self.keys_values(x if context is None else context)
        if over_groups:
            return self.to_out(temporal_attention(self.to_q(x), *context, self.head_dim))
        q, k, v = (
            rearrange(y, "b g n (heads d) -> b g n heads d", d=self.head_dim)
            for y in (self.to_q(x), *context)
        )
        out = attention(q, k, v, implementation=self.implementation)
        return self.to_out(rearrange(out, "b g n heads d -> b g n (heads d)"))

    def keys_values(self, context: jax.Array) -> KeysValues:
        """Projects a context `[..., M, D']` to keys and values `[..., M, D]`."""
        return self.to_k(context), self.to_v(context)


class TemporalAttention(Attention):
    """Attention over the frames of each pixel, whose positions are rotated and biased.

    Queries and keys are rotated by their frame; the distance between two frames also selects a
    learned bias of their score. The result starts at zero. Pixels are exchanged between devices and
    treated in chunks as in `TemporalTransformer`.
    """

    def __init__(
        self,
        width: int,
        *,
        head_dim: int,
        pixels_at_once: int,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            width, head_dim=head_dim, zero_out=True, implementation="xla", dtype=dtype, rngs=rngs
        )
        heads = width // head_dim
        self.relative_bias = nnx.Embed(
            BUCKETS, heads, embedding_init=fan_in_normal, dtype=jnp.float32, rngs=rngs
        )
        self.pixels_at_once = pixels_at_once

    def __call__(self, x: jax.Array) -> jax.Array:
        """Attends among the frames of each pixel of `[B, F, N, D]`."""
        return over_pixels(self, type(self)._attend_over_time, x)

    def _attend_over_time(self, tokens: jax.Array) -> jax.Array:
        """Attends in `[B, F, N, D]`, all frames of N pixels."""
        by_pixel = rearrange(tokens, "b f n c -> (b n) f c")
        out = map_chunks(self.attend_by_pixel, [by_pixel], self.pixels_at_once)
        return rearrange(out, "(b n) f c -> b f n c", b=len(tokens))

    def attend_by_pixel(self, tokens: jax.Array) -> jax.Array:
        """Attends among the F frames of each of `[P, F, D]`."""
        q, k, v = (
            rearrange(y, "p f (heads d) -> (p heads) f d", d=self.head_dim)
            for y in (self.to_q(tokens), *self.keys_values(tokens))
        )
        out = dense_attention(rotate(q), rotate(k), v, bias=self.bias(tokens.shape[1]))
        return self.to_out(rearrange(out, "(p heads) f d -> p f (heads d)", p=len(tokens)))

    def bias(self, frames: int) -> jax.Array:
        """Returns the bias of every score, `[heads, frames, frames]` by query and key."""
        return jnp.moveaxis(self.relative_bias(jnp.asarray(distance_buckets(frames))), -1, 0)


class FeedForward(nnx.Module):
    """GEGLU of four times the width: value first, gate second, exact GELU."""

    def __init__(self, width: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.proj_in = Linear(width, 8 * width, dtype=dtype, rngs=rngs)
        self.proj_out = Linear(4 * width, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms every token of `[..., D]`."""
        if (cache := cache_bytes()) is None:
            return self._geglu(x)
        tokens = x.reshape(-1, x.shape[-1])
        token_bytes = self.proj_in.out_features * x.dtype.itemsize
        return map_chunks(self._geglu, [tokens], cache // token_bytes).reshape(x.shape)

    def _geglu(self, tokens: jax.Array) -> jax.Array:
        # Tokens keep their axes where they are sharded: a merged axis that the devices do not
        # divide would be gathered.
        value, gate = jnp.split(self.proj_in(tokens), 2, axis=-1)
        return self.proj_out(value * nnx.gelu(gate, approximate=False))


class TransformerBlock(nnx.Module):
    """Two attentions and a feed-forward network, with an optional temporal attention before it.

    Without a context the second attention is self-attention as the first one is.
    """

    def __init__(
        self,
        width: int,
        *,
        context_width: int | None = None,
        only_cross: bool = False,
        temporal_pixels_at_once: int | None = None,
        head_dim: int,
        implementation: Implementation,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        """Creates the block.

        Args:
          width: channels of the tokens.
          context_width: channels of the context.
          only_cross: whether the first attention attends to the context too.
          temporal_pixels_at_once: most pixels in a chunk of the temporal attention; None for no
            temporal attention.
          head_dim: channels of every attention head.
          implementation: implementation of attention.
          dtype: type of activations and weights.
          rngs: random-number streams of the initialisers.
        """

        def norm() -> nnx.LayerNorm:
            return nnx.LayerNorm(
                width, epsilon=1e-5, use_fast_variance=False, dtype=dtype, rngs=rngs
            )

        def attend(context_width: int | None) -> Attention:
            return Attention(
                width,
                context_width=context_width,
                head_dim=head_dim,
                implementation=implementation,
                dtype=dtype,
                rngs=rngs,
            )

        self.norm1, self.norm2, self.norm3 = norm(), norm(), norm()
        self.attn1 = attend(context_width if only_cross else None)
        self.attn2 = attend(context_width)
        self.ff = FeedForward(width, dtype=dtype, rngs=rngs)
        self.norm_temporal = None if temporal_pixels_at_once is None else norm()
        self.attn_temporal = (
            None
            if temporal_pixels_at_once is None
            else TemporalAttention(
                width,
                head_dim=head_dim,
                pixels_at_once=temporal_pixels_at_once,
                dtype=dtype,
                rngs=rngs,
            )
        )
        self.only_cross = only_cross

    def __call__(
        self,
        x: jax.Array,
        context: jax.Array | KeysValues | None = None,
        *,
        first: jax.Array | KeysValues | None = None,
        over_groups: bool = False,
    ) -> jax.Array:
        """Transforms tokens.

        Args:
          x: tokens `[B, G, N, D]` in G groups, which are frames for the temporal attention.
          context: tokens `[B, 1, L, D']` of all groups, or their keys and values.
          first: context of the first attention with `only_cross`: the tokens, or their keys and
            values for it.
          over_groups: whether to attend along G instead of N.
        """
        x = self.attn1(self.norm1(x), first, over_groups=over_groups) + x
        x = self.attn2(self.norm2(x), context, over_groups=over_groups) + x
        if self.norm_temporal is not None and self.attn_temporal is not None:
            x = self.attn_temporal(self.norm_temporal(x)) + x
        return self.ff(self.norm3(x)) + x


class SpatialTransformer(nnx.Module):
    """A transformer over the pixels of each frame, with cross-attention to the text."""

    def __init__(
        self,
        channels: int,
        *,
        context_width: int,
        only_cross: bool = False,
        temporal_pixels_at_once: int | None = None,
        kernel_init: nnx.Initializer = zeros,
        head_dim: int,
        implementation: Implementation,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        """Creates the transformer.

        Args:
          channels: channels of input and result.
          context_width: channels of the text features.
          only_cross: whether both attentions attend to the text, none to the pixels.
          temporal_pixels_at_once: most pixels in a chunk of the temporal attention; None for no
            temporal attention.
          kernel_init: initialiser of the last layer.
          head_dim: channels of every attention head.
          implementation: implementation of attention.
          dtype: type of activations and weights.
          rngs: random-number streams of the initialisers.
        """
        self.norm = GroupNorm(channels, over_frames=False, epsilon=1e-6, dtype=dtype, rngs=rngs)
        self.proj_in = Linear(channels, channels, dtype=dtype, rngs=rngs)
        self.block = TransformerBlock(
            channels,
            context_width=context_width,
            only_cross=only_cross,
            temporal_pixels_at_once=temporal_pixels_at_once,
            head_dim=head_dim,
            implementation=implementation,
            dtype=dtype,
            rngs=rngs,
        )
        self.proj_out = Linear(channels, channels, kernel_init=kernel_init, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: jax.Array,
        text: jax.Array | KeysValues,
        first: jax.Array | KeysValues | None = None,
    ) -> jax.Array:
        """Transforms features.

        Args:
          x: features `[B, F, H, W, C]`.
          text: text features `[B, L, D]`, or keys and values `[B, L, C]`.
          first: text features, or keys and values, for the first attention with `only_cross`.
        """
        tokens = rearrange(self.norm(x), "b f h w c -> b f (h w) c")
        all_frames, first = jax.tree.map(lambda y: y[:, None], (text, first))
        tokens = self.block(self.proj_in(tokens), all_frames, first=first)
        return self.proj_out(tokens).reshape(x.shape) + x


class TemporalTransformer(nnx.Module):
    """A transformer over the frames of each pixel; no positions, no mask, no text.

    On a mesh that shards frames, devices exchange them for all frames of a share of the pixels, and
    back. Pixels are independent here, so the block runs over chunks of at most `pixels_at_once`
    pixels: its scratch memory would otherwise be the largest of the network.
    """

    def __init__(
        self,
        channels: int,
        *,
        inner: int | None = None,
        head_dim: int,
        pixels_at_once: int,
        implementation: Implementation,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        inner = inner or channels
        self.norm = GroupNorm(channels, over_frames=True, epsilon=1e-6, dtype=dtype, rngs=rngs)
        self.proj_in = Linear(channels, inner, dtype=dtype, rngs=rngs)
        self.block = TransformerBlock(
            inner, head_dim=head_dim, implementation=implementation, dtype=dtype, rngs=rngs
        )
        self.proj_out = Linear(inner, channels, kernel_init=zeros, dtype=dtype, rngs=rngs)
        self.pixels_at_once = pixels_at_once
        self.implementation: Implementation = implementation

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms `[B, F, H, W, C]`."""
        tokens = rearrange(self.norm(x), "b f h w c -> b f (h w) c")
        out = over_pixels(self, TemporalTransformer._attend_over_time, tokens)
        return out.reshape(x.shape) + x

    def _attend_over_time(self, tokens: jax.Array) -> jax.Array:
        """Transforms `[B, F, N, C]`, all frames of N pixels."""
        videos = len(tokens)
        if self.implementation == "auto" and suits(tokens):
            at_once = self.pixels_at_once // videos
            return map_chunks(self._frames_major, [tokens], at_once, axis=2)
        attend_by_pixel = rearrange(tokens, "b f n c -> (b n) f c")
        out = map_chunks(self._pixels_major, [attend_by_pixel], self.pixels_at_once)
        return rearrange(out, "(b n) f c -> b f n c", b=videos)

    def _frames_major(self, tokens: jax.Array) -> jax.Array:
        """Transforms `[B, F, N, C]` with the kernel, which reads frames one after the other."""
        return self.proj_out(self.block(self.proj_in(tokens), over_groups=True))

    def _pixels_major(self, tokens: jax.Array) -> jax.Array:
        """Transforms `[P, F, C]`, the frames of each pixel together in memory."""
        return self.proj_out(self.block(self.proj_in(tokens[None])))[0]


def over_pixels(
    module: nnx.Module, method: Callable[[Any, jax.Array], jax.Array], tokens: jax.Array
) -> jax.Array:
    """Applies a method of a module on every device to all frames of a share of the pixels.

    Args:
      module: module, whose parameters every device has whole.
      method: method that computes `[B, F, n, D]` from all frames of n pixels, pixel by pixel.
      tokens: pixels `[B, F, N, D]`, N the pixels of a frame.

    Returns:
      `[B, F, N, D]`, sharded over frames as `tokens` are.
    """
    pixels = tokens.shape[2]
    # While pixels are one axis, the compiler exchanges them in one all-to-all; from rows and
    # columns it would gather all of them on every device.
    tokens = constrain(pad_to_shards(tokens, (None, None, "pixel", None)), _BY_FRAME)
    if is_sharded():
        graph, params = nnx.split(module)

        def own(params: nnx.State, tokens: jax.Array) -> jax.Array:
            return method(nnx.merge(graph, params), tokens)

        out = shard_map_over(own, [tokens], [_BY_PIXEL], _BY_PIXEL, params=params)
    else:
        out = method(module, tokens)
    return constrain(out, _BY_FRAME)[:, :, :pixels]
