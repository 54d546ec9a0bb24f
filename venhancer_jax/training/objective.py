"""What a training objective is: a pure function from parameters and a batch to a loss."""

import zlib
from collections.abc import Mapping
from typing import Protocol

import jax
import jax.numpy as jnp

from venhancer_jax.models.functional import Params

# uint8 video and low [B, F, H, W, 3]; key_index [B, F]; scale, noise_aug [B]; tokens [B, 77].
Batch = Mapping[str, jax.Array]
# Parameters that do not train, by the name of their network.
Frozen = Mapping[str, Params]
Metrics = dict[str, jax.Array]


class Objective(Protocol):
    """A loss to descend."""

    def loss(
        self, params: Params, frozen: Frozen, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Computes the loss `[]` and metrics of a batch.

        Args:
          params: parameters that train.
          frozen: all other parameters, by network.
          batch: arrays of `Batch`.
          key: random key of the step.
        """
        ...


def stream(key: jax.Array, name: str) -> jax.Array:
    """Derives the key of one purpose, such as "noise", from the key of a step."""
    return jax.random.fold_in(key, jnp.uint32(zlib.crc32(name.encode())))


def to_signed(frames: jax.Array) -> jax.Array:
    """Converts uint8 frames to float32 in [-1, 1]."""
    return frames.astype(jnp.float32) / 127.5 - 1
