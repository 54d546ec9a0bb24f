"""Multi-head attention with linear projections: among tokens, or among the frames of a pixel."""

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
from venhancer_jax.models.layers.positions import BUCKETS, distance_buckets, rotate
from venhancer_jax.sharding.mesh import constrain, is_sharded
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
        implementation: Implementation,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        super().__init__(
            width,
            head_dim=head_dim,
            zero_out=True,
            implementation=implementation,
            dtype=dtype,
            rngs=rngs,
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
        return map_chunks(self._attend, [tokens], self.pixels_at_once // len(tokens), axis=2)

    def _attend(self, tokens: jax.Array) -> jax.Array:
        """Attends in `[B, F, N, D]`, all frames of the N pixels of a chunk."""
        videos, frames, pixels, _ = tokens.shape

        def heads(y: jax.Array) -> jax.Array:
            return rearrange(y, "b f n (heads d) -> b f n heads d", d=self.head_dim)

        keys, values = self.keys_values(tokens)
        q, k = rotate(heads(self.to_q(tokens)), axis=1), rotate(heads(keys), axis=1)
        bias = self.bias(frames)
        if self.implementation == "auto" and suits(tokens):
            q, k = q.reshape(tokens.shape), k.reshape(tokens.shape)
            return self.to_out(temporal_attention(q, k, values, self.head_dim, bias))
        by_pixel = (rearrange(y, "b f n heads d -> (b n heads) f d") for y in (q, k, heads(values)))
        out = dense_attention(*by_pixel, bias=bias)
        return self.to_out(rearrange(out, "(b n heads) f d -> b f n (heads d)", b=videos, n=pixels))

    def bias(self, frames: int) -> jax.Array:
        """Returns the bias of every score, `[heads, frames, frames]` by query and key."""
        return jnp.moveaxis(self.relative_bias(jnp.asarray(distance_buckets(frames))), -1, 0)


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
