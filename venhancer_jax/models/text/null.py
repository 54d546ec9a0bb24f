"""An empty text encoder, for models that were trained without text."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx


@dataclasses.dataclass(frozen=True, kw_only=True)
class NullTextConfig:
    """Size of the empty context.

    Attributes:
      width: channels of its single token.
    """

    width: int = 16


class NullTextEncoder(nnx.Module):
    """A text encoder that ignores the prompt: its only token is zero."""

    def __init__(self, config: NullTextConfig, rngs: nnx.Rngs):
        del rngs
        self.width = config.width

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Returns zeros `[B, 1, D]` for tokens `[B, L]`."""
        return jnp.zeros((tokens.shape[0], 1, self.width))
