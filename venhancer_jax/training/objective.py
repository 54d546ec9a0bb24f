"""What a training objective is: a pure function from parameters and a batch to a loss."""

import zlib
from collections.abc import Mapping
from typing import Protocol

import jax
import jax.numpy as jnp

from venhancer_jax.models.functional import Params

# uint8 video and low [B, F, H, W, 3]; key_index [B, F]; scale, noise_aug [B]; tokens [B, 77].
Batch = Mapping[str, jax.Array]
# Parameters that do not train, by the name of what they belong to.
Frozen = Mapping[str, Params]
Metrics = dict[str, jax.Array]


class Objective(Protocol):
    """A loss that a step descends."""

    def loss(
        self, params: Params, frozen: Frozen, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """The loss `[]` and metrics.

        Args:
          params: trainable.
          frozen: everything else.
          batch: of `Batch`.
          key: of this step.
        """
        ...


def stream(key: jax.Array, name: str) -> jax.Array:
    """The key of one purpose."""
    return jax.random.fold_in(key, jnp.uint32(zlib.crc32(name.encode())))
