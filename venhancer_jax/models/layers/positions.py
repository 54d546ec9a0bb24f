"""Positions of frames in temporal attention: rotations of queries and keys, learned biases."""

import jax
import jax.numpy as jnp
import numpy as np

# Channels of each head that are rotated, the first ones.
ROTARY_CHANNELS = 32
# Distances between frames fall into so many buckets, half of them for each direction; distances of
# `_FAR` frames and more share the last one.
BUCKETS, _FAR = 32, 32


def rotary_frequencies() -> np.ndarray:
    """Computes the angle per frame of each rotated pair of channels, `[16]` float32."""
    exponents = np.arange(0, ROTARY_CHANNELS, 2, dtype=np.float32) / np.float32(ROTARY_CHANNELS)
    return np.float32(1) / np.float32(10000) ** exponents


def rotate(x: jax.Array, axis: int = -2) -> jax.Array:
    """Rotates neighbouring channels by angles that grow with the frame (arXiv 2104.09864).

    Args:
      x: queries or keys `[..., F, ..., D]`, F frames from position 0 on; at least `ROTARY_CHANNELS`
        channels, of which the first ones are rotated in pairs.
      axis: position of the frames.

    Returns:
      `[..., F, ..., D]`, in the type of `x`.
    """
    angles = np.arange(x.shape[axis], dtype=np.float32)[:, None] * rotary_frequencies()
    between = x.ndim - 2 - axis % x.ndim
    angles = np.expand_dims(angles, tuple(range(1, 1 + between)))
    cos, sin = jnp.asarray(np.cos(angles)), jnp.asarray(np.sin(angles))
    rotated = x[..., :ROTARY_CHANNELS].astype(jnp.float32)
    even, odd = rotated[..., ::2], rotated[..., 1::2]
    pairs = jnp.stack([even * cos - odd * sin, odd * cos + even * sin], axis=-1)
    first = pairs.reshape(rotated.shape).astype(x.dtype)
    return jnp.concatenate([first, x[..., ROTARY_CHANNELS:]], axis=-1)


def distance_buckets(frames: int) -> np.ndarray:
    """Computes the bucket of the distance between every two frames (T5, arXiv 1910.10683).

    Args:
      frames: number of frames.

    Returns:
      `[frames, frames]` int32 from 0 to `BUCKETS - 1`, by query and key: one bucket per distance up
      to 8 frames, then wider ones; the upper half for keys behind the query.
    """
    position = np.arange(frames)
    distance = position[:, None] - position[None]
    half, exact = BUCKETS // 2, BUCKETS // 4
    size = np.abs(distance)
    growth = np.log(np.maximum(size, exact) / exact) / np.log(_FAR / exact)
    wide = np.minimum(half - 1, exact + (growth * (half - exact)).astype(int))
    return (np.where(distance < 0, half, 0) + np.where(size < exact, size, wide)).astype(np.int32)
