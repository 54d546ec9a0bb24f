"""Temporal attention: a kernel for TPU that reads and writes every array once.

Sequences are as short as a window has frames, and there is one for every pixel. XLA would bring the
frames of a pixel together in memory and write out the scores. The kernel takes pixels in the layout
of frames and multiplies all frames of a few pixels with each other; scores between different pixels
are masked. Most products are discarded, but time goes into memory traffic, not products.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from venhancer_jax.sharding.mesh import target_device

# Pixels in a step of the kernel, and pixels per product: a register has eight rows of float32, and
# memory sixteen of bfloat16.
_HELD, _AT_ONCE = 16, 8
_MASKED = -1e30
# The scores of a step take 256 bytes times the square of the frames, beside four blocks of pixels.
_MOST_FRAMES = 48
_MEMORY = 48 * 2**20


def suits(tokens: jax.Array) -> bool:
    """Returns whether the kernel suits device, type and frames of tokens `[B, F, N, D]`."""
    is_tpu = target_device()[0] == "tpu"
    return is_tpu and tokens.dtype == jnp.bfloat16 and tokens.shape[1] <= _MOST_FRAMES


def temporal_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    head_dim: int,
    bias: jax.Array | None = None,
) -> jax.Array:
    """Computes softmax attention over the frames of each pixel, on one device.

    On other devices than TPUs the kernel is interpreted, which is very slow. The gradient is that
    of `attend_by_pixel`.

    Args:
      query: queries `[B, F, N, D]`, heads side by side in D.
      key: keys, shaped like `query`.
      value: values, shaped like `query`.
      head_dim: channels of each head; divides D.
      bias: numbers added to the scores `[heads, F, F]` by query and key; None for none.

    Returns:
      `[B, F, N, D]`.
    """
    return _temporal_attention(query, key, value, bias, head_dim)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _temporal_attention(
    query: jax.Array, key: jax.Array, value: jax.Array, bias: jax.Array | None, head_dim: int
) -> jax.Array:
    batch, frames, pixels, width = query.shape
    filled = -pixels % _HELD
    padded = [jnp.pad(x, ((0, 0), (0, 0), (0, filled), (0, 0))) for x in (query, key, value)]
    block = pl.BlockSpec((1, frames, _HELD, width), lambda b, n: (b, 0, n, 0))
    specs = [block] * 3
    if bias is not None:
        # One number for each row (frame, pixel) and column of the scores.
        bias = bias.astype(jnp.float32).repeat(_AT_ONCE, axis=1).repeat(_AT_ONCE, axis=2)
        padded.append(bias)
        specs.append(pl.BlockSpec(bias.shape, lambda b, n: (0, 0, 0)))
    out = pl.pallas_call(
        functools.partial(_kernel, head_dim=head_dim, has_bias=bias is not None),
        grid=(batch, (pixels + filled) // _HELD),
        in_specs=specs,
        out_specs=block,
        out_shape=jax.ShapeDtypeStruct(padded[0].shape, query.dtype),
        scratch_shapes=[pltpu.VMEM((frames, _HELD, width), jnp.float32)],
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=_MEMORY),
        interpret=target_device()[0] != "tpu",
    )(*padded)
    return out[:, :, :pixels]


def attend_by_pixel(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    head_dim: int,
    bias: jax.Array | None = None,
) -> jax.Array:
    """Computes `temporal_attention` by XLA."""
    q, k, v = (x.reshape(*x.shape[:-1], -1, head_dim) for x in (query, key, value))
    scores = jnp.einsum("bfnhd,bgnhd->bnhfg", q, k, preferred_element_type=jnp.float32)
    scores = scores * head_dim**-0.5
    scores = scores if bias is None else scores + bias.astype(jnp.float32)
    weights = jax.nn.softmax(scores).astype(v.dtype)
    return jnp.einsum("bnhfg,bgnhd->bfnhd", weights, v).reshape(query.shape)


def _kernel(query, key, value, *others, head_dim: int, has_bias: bool):
    *bias, out, scratch = others
    frames, _, width = query.shape[1:]
    rows = frames * _AT_ONCE
    # Row (frame, pixel) sees column (frame', pixel') of the same pixel only.
    of_row = jax.lax.broadcasted_iota(jnp.int32, (rows, rows), 0) % _AT_ONCE
    of_column = jax.lax.broadcasted_iota(jnp.int32, (rows, rows), 1) % _AT_ONCE
    other = of_row != of_column
    for head in range(width // head_dim):
        lanes = slice(head * head_dim, (head + 1) * head_dim)
        q, k, v = (x[0, :, :, lanes].astype(jnp.float32) for x in (query, key, value))
        for first in range(0, _HELD, _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            q8, k8, v8 = (x[:, some].reshape(rows, head_dim).astype(query.dtype) for x in (q, k, v))
            scores = jax.lax.dot_general(
                q8, k8, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32
            )
            scores = scores * head_dim**-0.5
            if has_bias:
                scores = scores + bias[0][head]
            scores = jnp.where(other, _MASKED, scores)
            weights = jnp.exp(scores - scores.max(axis=1, keepdims=True))
            total = weights.sum(axis=1, keepdims=True)
            attended = jnp.dot(weights.astype(query.dtype), v8, preferred_element_type=jnp.float32)
            scratch[:, some, lanes] = (attended / total).reshape(frames, _AT_ONCE, head_dim)
    out[0] = scratch[...].astype(out.dtype)


def _forward(
    query: jax.Array, key: jax.Array, value: jax.Array, bias: jax.Array | None, head_dim: int
):
    saved = (query, key, value, bias)
    return _temporal_attention(*saved, head_dim), saved


def _backward(head_dim: int, saved: tuple[Any, ...], gradient: jax.Array):
    def attend(q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array | None) -> jax.Array:
        return attend_by_pixel(q, k, v, head_dim, bias)

    return jax.vjp(attend, *saved)[1](gradient)


_temporal_attention.defvjp(_forward, _backward)
