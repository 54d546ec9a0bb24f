"""Sources of the random numbers of a sampler: counters, or a recording."""

import dataclasses
import zlib
from collections.abc import Mapping
from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np


class NoiseSource(Protocol):
    """A source of standard normal noise."""

    def __call__(self, stream: str, step: int, shape: tuple[int, ...]) -> jax.Array:
        """Returns the noise `[B, F, ...]` of one step of a stream."""
        ...


@dataclasses.dataclass(frozen=True)
class CounterNoise:
    """Noise as a function of seed, stream, step and absolute frame only.

    The noise of a frame depends neither on the number of devices nor on the window.

    Attributes:
      seed: seed of all streams.
      first_frame: absolute index of the first frame.
    """

    seed: int
    first_frame: int = 0

    def __call__(self, stream: str, step: int, shape: tuple[int, ...]) -> jax.Array:
        # Half of all checksums are beyond int32, the type that jit would give them.
        counters = np.array([self.seed, zlib.crc32(stream.encode()), step], np.uint32)
        return _normal(counters, self.first_frame, shape)


@partial(jax.jit, static_argnums=2)
def _normal(counters: np.ndarray, first_frame: int, shape: tuple[int, ...]) -> jax.Array:
    seed, stream, step = counters
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), stream), step)

    def of_frame(video: jax.Array, frame: jax.Array) -> jax.Array:
        frame_key = jax.random.fold_in(jax.random.fold_in(key, frame), video)
        return jax.random.normal(frame_key, shape[2:])

    frames = first_frame + jnp.arange(shape[1])
    return jax.vmap(lambda video: jax.vmap(partial(of_frame, video))(frames))(jnp.arange(shape[0]))


@dataclasses.dataclass(frozen=True, eq=False)
class RecordedNoise:
    """Noise replayed from a recording.

    Attributes:
      streams: noise `[T, B, F, ...]` of T steps, by stream.
    """

    streams: Mapping[str, np.ndarray]

    def __call__(self, stream: str, step: int, shape: tuple[int, ...]) -> jax.Array:
        row = self.streams[stream][step]
        if row.shape != shape:
            raise ValueError(f"recorded noise {stream!r} is {row.shape}, the sampler wants {shape}")
        return jnp.asarray(row)
