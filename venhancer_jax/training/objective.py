"""What a training objective is: a pure function from parameters and a batch to a loss."""

import dataclasses
import zlib
from collections.abc import Callable, Mapping
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """Parameters with an optimizer of their own, beside those that the config's optimizer updates.

    All groups train in one step: the loss is the sum of their losses, each of which stops the
    gradients of the other groups' parameters.

    Attributes:
      prefix: start of the names of the group's parameters.
      learning_rate: learning rate after the warm-up.
      refresh: computes what no gradient updates, such as vectors of a power iteration, from the
        group's parameters by their whole names, before each step; None where there is nothing.
    """

    prefix: str
    learning_rate: float
    refresh: Callable[[Params], Params] | None = None

    def select(self, params: Params) -> Params:
        """Selects the group's parameters, by their whole names."""
        return {name: x for name, x in params.items() if name.startswith(self.prefix)}


def gradient_only(loss: jax.Array) -> jax.Array:
    """Returns zero with the gradient of a loss, which is descended but not reported."""
    return loss - jax.lax.stop_gradient(loss)


def stream(key: jax.Array, name: str) -> jax.Array:
    """Derives the key of one purpose, such as "noise", from the key of a step."""
    return jax.random.fold_in(key, jnp.uint32(zlib.crc32(name.encode())))


def to_signed(frames: jax.Array) -> jax.Array:
    """Converts uint8 frames to float32 in [-1, 1]."""
    return frames.astype(jnp.float32) / 127.5 - 1
