"""One attention function; the implementation is a choice of hardware, never of result."""

import math
from typing import Literal

import jax
import jax.numpy as jnp

Implementation = Literal["auto", "xla", "chunked"]
IMPLEMENTATIONS: tuple[Implementation, ...] = ("auto", "xla", "chunked")

# Largest matrix of attention scores that is held at once: at 720p one frame of the first level
# would take 4 GiB.
SCORE_BYTES = 256 * 2**20


def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    implementation: Implementation = "auto",
    score_bytes: int = SCORE_BYTES,
) -> jax.Array:
    """Softmax attention without mask; softmax statistics in float32.

    Args:
      query: `[B, N, heads, head_dim]`.
      key: `[B, M, heads, head_dim]`.
      value: `[B, M, heads, head_dim]`.
      implementation: `xla` holds all scores at once, `chunked` at most `score_bytes` of them,
        `auto` is `xla` where the scores fit into `score_bytes`.
      score_bytes: bound on the float32 scores held at once, in bytes.

    Returns:
      `[B, N, heads, head_dim]`.

    Raises:
      ValueError: unknown implementation.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"attention {implementation!r}: expected one of {IMPLEMENTATIONS}")
    batch, queries, heads, _ = query.shape
    row_bytes = 4 * heads * key.shape[1]  # scores of one query in one batch element
    fits = batch * queries * row_bytes <= score_bytes
    if implementation == "xla" or (implementation == "auto" and fits):
        return jax.nn.dot_product_attention(query, key, value, implementation="xla")
    return _chunked(query, key, value, max(1, score_bytes // row_bytes))


def _chunked(query: jax.Array, key: jax.Array, value: jax.Array, rows: int) -> jax.Array:
    """Attention over at most `rows` queries (of all batch elements together) at a time."""
    batch, queries, heads, head_dim = query.shape
    at_once = largest_divisor(batch, max(1, rows // queries))
    pieces = math.ceil(queries / min(queries, max(1, rows // at_once)))
    chunk = math.ceil(queries / pieces)  # of even lengths, so that little is padded

    def attend(inputs: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        q, k, v = inputs  # q: [b, N, heads, head_dim]
        if pieces == 1:
            return jax.nn.dot_product_attention(q, k, v, implementation="xla")
        padded = jnp.pad(q, ((0, 0), (0, pieces * chunk - queries), (0, 0), (0, 0)))
        parts = padded.reshape(at_once, pieces, chunk, heads, head_dim).swapaxes(0, 1)
        out = jax.lax.map(
            lambda part: jax.nn.dot_product_attention(part, k, v, implementation="xla"), parts
        )
        return out.swapaxes(0, 1).reshape(padded.shape)[:, :queries]

    def split(x: jax.Array) -> jax.Array:
        return x.reshape(batch // at_once, at_once, *x.shape[1:])

    out = jax.lax.map(attend, (split(query), split(key), split(value)))
    return out.reshape(query.shape)


def largest_divisor(n: int, at_most: int) -> int:
    """The largest divisor of `n` that is not above `at_most` (at least 1)."""
    return next(d for d in range(min(n, max(1, at_most)), 0, -1) if n % d == 0)
