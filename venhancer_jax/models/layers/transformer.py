"""Spatial and temporal transformers: over the pixels of a frame, over the frames of a pixel."""

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.kernels.temporal_attention import suits, temporal_attention
from venhancer_jax.models.layers.attention import Implementation, attention
from venhancer_jax.models.layers.chunking import map_chunks
from venhancer_jax.models.layers.initializers import zeros
from venhancer_jax.models.layers.linear import Linear
from venhancer_jax.models.layers.norms import GroupNorm
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
        implementation: Implementation,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        source = context_width or width
        self.to_q = Linear(width, width, use_bias=False, dtype=dtype, rngs=rngs)
        self.to_k = Linear(source, width, use_bias=False, dtype=dtype, rngs=rngs)
        self.to_v = Linear(source, width, use_bias=False, dtype=dtype, rngs=rngs)
        self.to_out = Linear(width, width, dtype=dtype, rngs=rngs)
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
        query = self.to_q(x)
        if over_groups and self.implementation == "auto" and suits(x):
            return self.to_out(temporal_attention(query, *context, self.head_dim))
        # Tokens keep their order in all other layers, which treat every token by itself.
        order = "b n g heads d" if over_groups else "b g n heads d"
        q, k, v = (
            rearrange(y, f"b g n (heads d) -> {order}", d=self.head_dim) for y in (query, *context)
        )
        out = attention(q, k, v, implementation=self.implementation)
        return self.to_out(rearrange(out, f"{order} -> b g n (heads d)"))

    def keys_values(self, context: jax.Array) -> KeysValues:
        """Projects a context `[..., M, D']` to keys and values `[..., M, D]`."""
        return self.to_k(context), self.to_v(context)


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
    """Self-attention, cross-attention (self-attention again without a context), feed-forward."""

    def __init__(
        self,
        width: int,
        *,
        context_width: int | None = None,
        head_dim: int,
        implementation: Implementation,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
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
        self.attn1 = attend(None)
        self.attn2 = attend(context_width)
        self.ff = FeedForward(width, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: jax.Array,
        context: jax.Array | KeysValues | None = None,
        *,
        over_groups: bool = False,
    ) -> jax.Array:
        """Transforms tokens.

        Args:
          x: tokens `[B, G, N, D]` in G groups.
          context: tokens `[B, 1, L, D']` of all groups, or their keys and values.
          over_groups: whether to attend along G instead of N.
        """
        x = self.attn1(self.norm1(x), over_groups=over_groups) + x
        x = self.attn2(self.norm2(x), context, over_groups=over_groups) + x
        return self.ff(self.norm3(x)) + x


class SpatialTransformer(nnx.Module):
    """A transformer over the pixels of each frame, with cross-attention to the text."""

    def __init__(
        self,
        channels: int,
        *,
        context_width: int,
        head_dim: int,
        implementation: Implementation,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.norm = GroupNorm(channels, over_frames=False, epsilon=1e-6, dtype=dtype, rngs=rngs)
        self.proj_in = Linear(channels, channels, dtype=dtype, rngs=rngs)
        self.block = TransformerBlock(
            channels,
            context_width=context_width,
            head_dim=head_dim,
            implementation=implementation,
            dtype=dtype,
            rngs=rngs,
        )
        self.proj_out = Linear(channels, channels, kernel_init=zeros, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, text: jax.Array | KeysValues) -> jax.Array:
        """Transforms features.

        Args:
          x: features `[B, F, H, W, C]`.
          text: text features `[B, L, D]`, or keys and values `[B, L, C]`.
        """
        tokens = rearrange(self.norm(x), "b f h w c -> b f (h w) c")
        all_frames = jax.tree.map(lambda y: y[:, None], text)
        tokens = self.block(self.proj_in(tokens), all_frames)
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
        pixels = x.shape[2] * x.shape[3]
        # While pixels are one axis, the compiler exchanges them in one all-to-all; from rows and
        # columns it would gather all of them on every device.
        tokens = rearrange(self.norm(x), "b f h w c -> b f (h w) c")
        tokens = constrain(pad_to_shards(tokens, (None, None, "pixel", None)), _BY_FRAME)
        out = self._sharded(tokens) if is_sharded() else self._attend_over_time(tokens)
        out = constrain(out, _BY_FRAME)[:, :, :pixels]
        return out.reshape(x.shape) + x

    def _sharded(self, tokens: jax.Array) -> jax.Array:
        """Runs `_attend_over_time` on every device for its own pixels."""
        graph, params = nnx.split(self)

        def own(params: nnx.State, tokens: jax.Array) -> jax.Array:
            return nnx.merge(graph, params)._attend_over_time(tokens)

        return shard_map_over(own, [tokens], [_BY_PIXEL], _BY_PIXEL, params=params)

    def _attend_over_time(self, tokens: jax.Array) -> jax.Array:
        """Transforms `[B, F, N, C]`, all frames of N pixels."""
        return map_chunks(self._attend, [tokens], self.pixels_at_once // len(tokens), axis=2)

    def _attend(self, tokens: jax.Array) -> jax.Array:
        """Transforms `[B, F, N, C]`, all frames of the N pixels of a chunk."""
        return self.proj_out(self.block(self.proj_in(tokens), over_groups=True))
