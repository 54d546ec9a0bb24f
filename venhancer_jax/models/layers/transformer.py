"""Spatial and temporal transformers: over the pixels of a frame, over the frames of a pixel."""

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.layers.attention import Implementation
from venhancer_jax.models.layers.chunking import map_chunks
from venhancer_jax.models.layers.initializers import zeros
from venhancer_jax.models.layers.linear import Linear
from venhancer_jax.models.layers.multi_head import (
    Attention,
    KeysValues,
    TemporalAttention,
    over_pixels,
)
from venhancer_jax.models.layers.norms import GroupNorm
from venhancer_jax.sharding.mesh import cache_bytes


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
        return self.proj_out(value * exact_gelu(gate))


def exact_gelu(x: jax.Array) -> jax.Array:
    """Computes the exact GELU in float32, for any type of `x`.

    By the error function, half the work of its complement, which `jax.nn.gelu` evaluates to keep
    the digits of results below 1e-6.
    """
    x32 = x.astype(jnp.float32)
    return (x32 * (0.5 + 0.5 * jax.lax.erf(x32 * 0.5**0.5))).astype(x.dtype)


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
                implementation=implementation,
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
        return map_chunks(self._attend, [tokens], self.pixels_at_once // len(tokens), axis=2)

    def _attend(self, tokens: jax.Array) -> jax.Array:
        """Transforms `[B, F, N, C]`, all frames of the N pixels of a chunk."""
        return self.proj_out(self.block(self.proj_in(tokens), over_groups=True))
