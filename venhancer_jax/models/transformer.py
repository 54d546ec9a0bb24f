"""Transformers over the pixels of a frame and over the frames of a pixel."""

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.attention import Implementation, attention, largest_divisor
from venhancer_jax.models.layers import GroupNorm, zeros

# Projections of a context, `[B, M, D]` each.
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
        self.to_q = nnx.Linear(width, width, use_bias=False, dtype=dtype, rngs=rngs)
        self.to_k = nnx.Linear(source, width, use_bias=False, dtype=dtype, rngs=rngs)
        self.to_v = nnx.Linear(source, width, use_bias=False, dtype=dtype, rngs=rngs)
        self.to_out = nnx.Linear(width, width, dtype=dtype, rngs=rngs)
        self.head_dim = head_dim
        self.implementation: Implementation = implementation

    def __call__(self, x: jax.Array, context: jax.Array | KeysValues | None = None) -> jax.Array:
        """`[B, N, D]`, attending to itself or to a context `[B, M, D']`, projected or not."""
        if not isinstance(context, tuple):
            context = self.keys_values(x if context is None else context)
        q, k, v = (
            rearrange(y, "b n (heads d) -> b n heads d", d=self.head_dim)
            for y in (self.to_q(x), *context)
        )
        out = attention(q, k, v, implementation=self.implementation)
        return self.to_out(rearrange(out, "b n heads d -> b n (heads d)"))

    def keys_values(self, context: jax.Array) -> KeysValues:
        """Projects a context `[B, M, D']`."""
        return self.to_k(context), self.to_v(context)


class FeedForward(nnx.Module):
    """GEGLU of four times the width: value first, gate second, exact GELU."""

    def __init__(self, width: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.proj_in = nnx.Linear(width, 8 * width, dtype=dtype, rngs=rngs)
        self.proj_out = nnx.Linear(4 * width, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        value, gate = jnp.split(self.proj_in(x), 2, axis=-1)
        return self.proj_out(value * nnx.gelu(gate, approximate=False))


class TransformerBlock(nnx.Module):
    """Self-attention, attention to a context (to itself where there is none), feed-forward."""

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
        self, x: jax.Array, context: jax.Array | KeysValues | None = None, *, frames: int = 1
    ) -> jax.Array:
        """Tokens `[B * frames, N, D]`; the context `[B, L, D']` serves all frames of its video."""
        x = self.attn1(self.norm1(x)) + x
        # All frames of a video ask the same context: one long row of queries, no copies of it.
        rows = rearrange(self.norm2(x), "(b f) n d -> b (f n) d", f=frames)
        x = rearrange(self.attn2(rows, context), "b (f n) d -> (b f) n d", f=frames) + x
        return self.ff(self.norm3(x)) + x


class SpatialTransformer(nnx.Module):
    """Attention among the pixels of each frame, and from them to the text."""

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
        self.proj_in = nnx.Linear(channels, channels, dtype=dtype, rngs=rngs)
        self.block = TransformerBlock(
            channels,
            context_width=context_width,
            head_dim=head_dim,
            implementation=implementation,
            dtype=dtype,
            rngs=rngs,
        )
        self.proj_out = nnx.Linear(channels, channels, kernel_init=zeros, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, text: jax.Array | KeysValues) -> jax.Array:
        """`x [B, F, H, W, C]`; `text [B, L, D]`, or the keys and values of it."""
        tokens = rearrange(self.norm(x), "b f h w c -> (b f) (h w) c")
        tokens = self.block(self.proj_in(tokens), text, frames=x.shape[1])
        return self.proj_out(tokens).reshape(x.shape) + x


class TemporalTransformer(nnx.Module):
    """Attention among the frames, at every pixel by itself; no positions, no mask, no text.

    Pixels do not see each other here, so the block runs over chunks of at most `pixels_at_once`
    of them: its scratch memory would otherwise be the largest of the whole network.
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
        self.proj_in = nnx.Linear(channels, inner, dtype=dtype, rngs=rngs)
        self.block = TransformerBlock(
            inner, head_dim=head_dim, implementation=implementation, dtype=dtype, rngs=rngs
        )
        self.proj_out = nnx.Linear(inner, channels, kernel_init=zeros, dtype=dtype, rngs=rngs)
        self.pixels_at_once = pixels_at_once

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[B, F, H, W, C]`."""
        b, f, h, w, _ = x.shape
        pixels = rearrange(self.norm(x), "b f h w c -> (b h w) f c")
        chunk = largest_divisor(b * h * w, self.pixels_at_once)
        if chunk == b * h * w:
            out = self._over_frames(pixels)
        else:
            out = jax.lax.map(self._over_frames, pixels.reshape(-1, chunk, f, x.shape[-1]))
        out = rearrange(out.reshape(b * h * w, f, -1), "(b h w) f c -> b f h w c", b=b, h=h, w=w)
        return out + x

    def _over_frames(self, pixels: jax.Array) -> jax.Array:
        return self.proj_out(self.block(self.proj_in(pixels)))
