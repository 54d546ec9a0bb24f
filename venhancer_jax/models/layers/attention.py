"""Attention of all networks; its implementation follows from the hardware, never its result."""

from typing import Literal

import jax
import jax.numpy as jnp
from einops import rearrange

from venhancer_jax.models.kernels.splash import splash_attention
from venhancer_jax.models.layers.chunking import map_chunks, split_evenly
from venhancer_jax.models.layers.linear import matmul_precision
from venhancer_jax.sharding.mesh import cache_bytes, cuda_capability, target_device
from venhancer_jax.sharding.shard_map import shard_map_over

Implementation = Literal["auto", "xla", "chunked", "splash", "cudnn"]
IMPLEMENTATIONS: tuple[Implementation, ...] = ("auto", "xla", "chunked", "splash", "cudnn")

# Largest matrix of attention scores that an accelerator holds: at 720p one frame of the first level
# would take 4 GiB.
SCORE_BYTES = 256 * 2**20
# With fewer keys than this the scores are small, and the matrix products are all there is to do.
FUSED_KEYS = 512
# Oldest GPU that cuDNN has fused attention for (Ampere), and the widest head that all have it for.
_CUDNN_CAPABILITY = 8.0
_CUDNN_HEAD_DIM = 128


def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    implementation: Implementation = "auto",
    score_bytes: int | None = None,
) -> jax.Array:
    """Computes softmax attention without mask within every group; statistics are float32.

    On a mesh each device attends for its own videos, groups and queries: groups are sharded like
    frames, queries like rows of frames.

    Args:
      query: queries `[B, G, N, heads, head_dim]`.
      key: keys `[B, G, M, heads, head_dim]`, or `[B, 1, M, heads, head_dim]` for all groups.
      value: values, shaped like `key`.
      implementation: `xla` holds all scores, `chunked` at most `score_bytes` of them, `splash`
        (TPU) and `cudnn` (GPU of compute capability 8.0 or more, 16-bit types) none. `auto`: the
        fused kernel of the device for `FUSED_KEYS` keys or more, otherwise `xla` where the scores
        fit into `score_bytes` and `chunked` where they do not.
      score_bytes: most float32 scores in the memory of a device, in bytes; by default what the
        cache of a processor holds, `SCORE_BYTES` on an accelerator.

    Returns:
      `[B, G, N, heads, head_dim]`.

    Raises:
      ValueError: unknown implementation.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"attention {implementation!r}: expected one of {IMPLEMENTATIONS}")
    choice = implementation
    if choice == "auto":
        choice = _fused(query, key) or "auto"
    limit = score_bytes or cache_bytes() or SCORE_BYTES

    def local(_: tuple[()], q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        shape = q.shape
        if k.shape[1] == 1:  # all groups attend to the same keys: one long row of queries
            q = q.reshape(shape[0], 1, -1, *shape[3:])
        q, k, v = (x.reshape(-1, *x.shape[2:]) for x in (q, k, v))
        return _attend(q, k, v, choice, limit).reshape(shape)

    axes = ("batch", "frame", "token", None, None)
    key_axes = ("batch", "frame" if key.shape[1] == query.shape[1] else None, None, None, None)
    return shard_map_over(local, (query, key, value), (axes, key_axes, key_axes), axes, params=())


def _fused(query: jax.Array, key: jax.Array) -> Literal["splash", "cudnn"] | None:
    """Returns the fused kernel of the target device, if it has one and it is worth its start."""
    if key.shape[2] < FUSED_KEYS:
        return None
    if target_device()[0] == "tpu":
        return "splash"
    fits = query.dtype.itemsize == 2 and query.shape[-1] <= _CUDNN_HEAD_DIM
    return "cudnn" if fits and cuda_capability() >= _CUDNN_CAPABILITY else None


def _attend(
    query: jax.Array, key: jax.Array, value: jax.Array, choice: str, score_bytes: int
) -> jax.Array:
    """Attends in `[B, N, heads, head_dim]` on one device."""
    if choice == "splash":
        return splash_attention(query, key, value)
    if choice == "cudnn":
        return jax.nn.dot_product_attention(query, key, value, implementation="cudnn")
    # Every head of every batch element is a product of matrices as they are stored.
    q, k, v = (rearrange(x, "b n heads d -> (b heads) n d") for x in (query, key, value))
    row_bytes = 4 * k.shape[1]  # scores of one query
    if choice == "xla" or (choice == "auto" and len(q) * q.shape[1] * row_bytes <= score_bytes):
        out = dense_attention(q, k, v)
    else:
        out = _chunked(q, k, v, max(1, score_bytes // row_bytes))
    return rearrange(out, "(b heads) n d -> b n heads d", heads=query.shape[2])


def dense_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    bias: jax.Array | None = None,
    is_causal: bool = False,
) -> jax.Array:
    """Computes softmax attention with all scores in memory; statistics are float32.

    Args:
      query: queries `[B, N, head_dim]`.
      key: keys `[B, M, head_dim]`.
      value: values `[B, M, head_dim]`.
      bias: numbers added to the scores `[heads, N, M]`, where B counts all heads of one group after
        those of the other.
      is_causal: whether queries see only the keys up to their own position.

    Returns:
      `[B, N, head_dim]`.
    """
    dots = {"precision": matmul_precision(query.dtype), "preferred_element_type": jnp.float32}
    scores = jnp.einsum("bnd,bmd->bnm", query, key, **dots) * query.shape[-1] ** -0.5
    if bias is not None:
        of_head = scores.reshape(-1, *bias.shape) + bias.astype(jnp.float32)
        scores = of_head.reshape(scores.shape)
    if is_causal:
        scores = jnp.where(jnp.tri(*scores.shape[1:], dtype=bool), scores, -jnp.inf)
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
    total = weights.sum(-1, keepdims=True)
    # Dividing the result takes one pass over the scores less than dividing the weights.
    out = jnp.einsum("bnm,bmd->bnd", weights.astype(value.dtype), value, **dots)
    return (out / total).astype(value.dtype)


def _chunked(query: jax.Array, key: jax.Array, value: jax.Array, rows: int) -> jax.Array:
    """Attends with at most `rows` queries, of all batch elements together, at a time."""
    _, size = split_evenly(len(query), rows // query.shape[1])

    def attend(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        return map_chunks(lambda part: dense_attention(part, k, v), [q], rows // size, axis=1)

    return map_chunks(attend, (query, key, value), size)
