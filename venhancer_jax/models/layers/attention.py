"""One attention function; the implementation is a choice of hardware, never of result."""

from typing import Literal

import jax
import jax.numpy as jnp

from venhancer_jax.models.kernels.splash import splash_attention
from venhancer_jax.models.layers.chunking import map_chunks, split_evenly
from venhancer_jax.models.layers.precision import matmul_precision
from venhancer_jax.sharding.mesh import target_device
from venhancer_jax.sharding.shard_map import shard_map_over

Implementation = Literal["auto", "xla", "chunked", "splash", "cudnn"]
IMPLEMENTATIONS: tuple[Implementation, ...] = ("auto", "xla", "chunked", "splash", "cudnn")

# Largest matrix of attention scores that a device holds at once: at 720p one frame of the first
# level would take 4 GiB.
SCORE_BYTES = 32 * 2**20
# With fewer keys than this the scores are small, and the matrix products are all there is to do.
FUSED_KEYS = 512
# Where cuDNN's fused attention is faster than its rivals.
_HOPPER = ("H100", "H200", "GH200", "H800", "H20")
_CUDNN_HEAD_DIM = 128


def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    implementation: Implementation = "auto",
    score_bytes: int = SCORE_BYTES,
) -> jax.Array:
    """Softmax attention without mask, in every group by itself; softmax statistics in float32.

    On a mesh each device attends for its own videos, groups and queries: groups are split like
    frames, queries like the rows of frames.

    Args:
      query: `[B, G, N, heads, head_dim]`.
      key: `[B, G, M, heads, head_dim]`, or `[B, 1, M, ...]` for all groups alike.
      value: like `key`.
      implementation: `xla` holds all scores at once, `chunked` at most `score_bytes` of them,
        `splash` (TPU) and `cudnn` (GPU, 16-bit types) none. `auto`: the fused one of a TPU or a
        Hopper GPU for `FUSED_KEYS` keys and more, otherwise `xla` where the scores fit into
        `score_bytes` and `chunked` where they do not.
      score_bytes: bound on the float32 scores held at once by a device, in bytes.

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

    def local(_: tuple[()], q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        shape = q.shape
        if k.shape[1] == 1:  # all groups ask the same keys: one long row of queries
            q = q.reshape(shape[0], 1, -1, *shape[3:])
        q, k, v = (x.reshape(-1, *x.shape[2:]) for x in (q, k, v))
        return _attend(q, k, v, choice, score_bytes).reshape(shape)

    axes = ("batch", "frame", "token", None, None)
    of_keys = ("batch", "frame" if key.shape[1] == query.shape[1] else None, None, None, None)
    return shard_map_over(local, (query, key, value), (axes, of_keys, of_keys), axes, params=())


def _fused(query: jax.Array, key: jax.Array) -> Literal["splash", "cudnn"] | None:
    """The fused kernel of the device that the program is for, if it is worth it."""
    if key.shape[2] < FUSED_KEYS:
        return None
    platform, kind = target_device()
    if platform == "tpu":
        return "splash"
    suits = query.dtype.itemsize == 2 and query.shape[-1] <= _CUDNN_HEAD_DIM
    is_hopper = platform in ("gpu", "cuda") and any(name in kind for name in _HOPPER)
    # Without a GPU here, cuDNN cannot be asked for: a program for one elsewhere does without.
    return "cudnn" if is_hopper and suits and jax.default_backend() == "gpu" else None


def _attend(
    query: jax.Array, key: jax.Array, value: jax.Array, choice: str, score_bytes: int
) -> jax.Array:
    """Attends in `[B, N, heads, head_dim]` of one device."""
    if choice == "splash":
        return splash_attention(query, key, value)
    if choice == "cudnn":
        return jax.nn.dot_product_attention(query, key, value, implementation="cudnn")
    # Heads first: products of matrices as they are stored, for every head of every batch element.
    q, k, v = (x.swapaxes(1, 2) for x in (query, key, value))
    batch, heads, queries, _ = q.shape
    row_bytes = 4 * heads * k.shape[2]  # scores of one query in one batch element
    if choice == "xla" or (choice == "auto" and batch * queries * row_bytes <= score_bytes):
        out = dense_attention(q, k, v)
    else:
        out = _chunked(q, k, v, max(1, score_bytes // row_bytes))
    return out.swapaxes(1, 2)


def dense_attention(
    query: jax.Array, key: jax.Array, value: jax.Array, *, is_causal: bool = False
) -> jax.Array:
    """Computes softmax attention with all scores in memory, their statistics in float32.

    Args:
      query: queries `[B, heads, N, head_dim]`.
      key: keys `[B, heads, M, head_dim]`.
      value: values `[B, heads, M, head_dim]`.
      is_causal: whether queries see only keys up to their own position.

    Returns:
      `[B, heads, N, head_dim]`.
    """
    precision = matmul_precision(query.dtype)
    scores = jnp.einsum(
        "bhnd,bhmd->bhnm", query, key, precision=precision, preferred_element_type=jnp.float32
    )
    scores = scores * query.shape[-1] ** -0.5
    if is_causal:
        scores = jnp.where(jnp.tri(*scores.shape[-2:], dtype=bool), scores, -jnp.inf)
    weights = jax.nn.softmax(scores).astype(value.dtype)
    return jnp.einsum("bhnm,bhmd->bhnd", weights, value, precision=precision)


def _chunked(query: jax.Array, key: jax.Array, value: jax.Array, rows: int) -> jax.Array:
    """Attends with at most `rows` queries (of all batch elements together) at a time."""
    _, size = split_evenly(len(query), rows // query.shape[2])

    def attend(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        return map_chunks(lambda part: dense_attention(part, k, v), [q], rows // size, axis=2)

    return map_chunks(attend, (query, key, value), size)
