"""Fused attention on TPU: the splash kernel of JAX on sequences of any length."""

import math

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu import splash_attention as splash

from venhancer_jax.models.layers.chunking import map_chunks
from venhancer_jax.sharding.mesh import target_device

# Longest blocks of queries, of keys, and of keys per product that are fast on a chip; the blocks in
# use divide the length with the least padding.
BLOCKS = {
    "TPU v5 lite": (1024, 1024, 512),
    "TPU v5": (1024, 1024, 512),
    "TPU v6 lite": (2048, 2048, 1024),
}
_LANES = 128
_LONGEST_BACK = 1024
# Most bytes of queries, keys, values and results in the layout of the kernel.
_BYTES_AT_ONCE = 512 * 2**20


Blocks = tuple[int, int, int]


def splash_attention(
    query: jax.Array, key: jax.Array, value: jax.Array, blocks: Blocks | None = None
) -> jax.Array:
    """Computes softmax attention without mask, holding no scores in memory.

    On other devices than TPUs the kernel is interpreted, which is very slow.

    Args:
      query: queries `[B, N, heads, head_dim]`.
      key: keys `[B, M, heads, head_dim]`.
      value: values `[B, M, heads, head_dim]`.
      blocks: block lengths in place of those in `BLOCKS`, which
        `python -m benchmarks.attention_blocks` finds.

    Returns:
      `[B, N, heads, head_dim]`.
    """
    platform, kind = target_device()
    head_dim = query.shape[-1]
    longest = blocks or BLOCKS.get(kind, BLOCKS["TPU v5 lite"])
    # The kernel's memory grows with the width of a head.
    longest = tuple(max(_LANES, size * _LANES // max(head_dim, _LANES)) for size in longest)
    queries, keys = query.shape[1], key.shape[1]
    block_q, block_kv = block_length(queries, longest[0]), block_length(keys, longest[1])
    fill_q, fill_kv = -queries % block_q, -keys % block_kv
    kernel = _kernel(
        query.shape[2],
        (block_q, block_kv, _part(block_kv, longest[2])),
        interpret=platform != "tpu",
    )
    segments = None
    if fill_kv:  # no query sees the padded keys
        is_filled = jnp.arange(keys + fill_kv) >= keys
        segments = splash.SegmentIds(
            jnp.zeros(queries + fill_q, jnp.int32), is_filled.astype(jnp.int32)
        )

    def attend(*inputs: jax.Array) -> jax.Array:
        q, k, v = (
            jnp.pad(x.swapaxes(1, 2), ((0, 0), (0, 0), (0, fill), (0, 0)))
            for x, fill in zip(inputs, (fill_q, fill_kv, fill_kv), strict=True)
        )
        out = jnp.asarray(
            jax.vmap(kernel, in_axes=(0, 0, 0, None))(q * head_dim**-0.5, k, v, segments)
        )
        return out[:, :, :queries].swapaxes(1, 2)

    rows = 2 * (queries + keys) * query.shape[2]
    at_once = _BYTES_AT_ONCE // (rows * max(head_dim, _LANES) * query.dtype.itemsize)
    return map_chunks(attend, (query, key, value), at_once)


def block_length(length: int, longest: int) -> int:
    """Returns the multiple of 128, at most `longest`, whose blocks cover `length` fastest."""
    tiles = math.ceil(length / _LANES)
    sizes = range(min(tiles, longest // _LANES), 0, -1)
    # Short blocks cost more than a little padding: the start of a block as much as a quarter of a
    # tile.
    sizes = [size for size in sizes if 2 * size >= sizes[0]]
    return _LANES * min(sizes, key=lambda size: math.ceil(tiles / size) * (size + 0.25))


def _part(length: int, longest: int) -> int:
    """Returns the longest multiple of 128 that divides `length` and is at most `longest`."""
    tiles = length // _LANES
    return _LANES * max(n for n in range(1, longest // _LANES + 1) if tiles % n == 0)


def _kernel(heads: int, blocks: Blocks, *, interpret: bool):
    q, kv, compute = blocks
    mask = splash.MultiHeadMask([splash.FullMask((q, kv)) for _ in range(heads)])
    # A gradient holds twice as much.
    back_q, back_kv = _part(q, _LONGEST_BACK), _part(kv, _LONGEST_BACK)
    sizes = splash.BlockSizes(
        block_q=q,
        block_kv=kv,
        block_kv_compute=compute,
        block_q_dkv=back_q,
        block_kv_dkv=back_kv,
        block_kv_dkv_compute=_part(back_kv, compute),
        block_q_dq=back_q,
        block_kv_dq=back_kv,
    )
    kernel = splash.make_splash_mha(
        mask, head_shards=1, q_seq_shards=1, block_sizes=sizes, interpret=interpret
    )
    # Without a table of the blocks to visit the kernel visits all. For 100,000 tokens the table
    # would not fit into the scalar memory of a chip.
    every = type(kernel.fwd_mask_info)(None, None, None, None, None)
    return type(kernel)(every, every, every, **kernel.kwargs)
