"""Stands in for the text tower where a model has learned no text."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx


@dataclasses.dataclass(frozen=True, kw_only=True)
class NullTextConfig:
    """Size of the empty context.

    Attributes:
      width: of its one token.
    """

    width: int = 16


class NullTextEncoder(nnx.Module):
    """One token of zeros, whatever the prompt: cross-attention to it adds what its bias learns."""

    def __init__(self, config: NullTextConfig, rngs: nnx.Rngs):
        del rngs
        self.width = config.width

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Token numbers `[B, L]` to `[B, 1, D]`."""
        return jnp.zeros((tokens.shape[0], 1, self.width))
