"""The recurrent update of RAFT: motion features, a convolutional GRU, and its two heads."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.raft.encoders import Conv


class MotionEncoder(nnx.Module):
    """Convolutions of looked-up correlations and of the flow."""

    def __init__(self, correlations: int, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        options = {"dtype": dtype, "rngs": rngs}
        self.correlation1 = Conv(correlations, 2 * channels, (1, 1), **options)
        self.correlation2 = Conv(2 * channels, 3 * channels // 2, (3, 3), **options)
        self.flow1 = Conv(2, channels, (7, 7), **options)
        self.flow2 = Conv(channels, channels // 2, (3, 3), **options)
        self.conv = Conv(2 * channels, channels - 2, (3, 3), **options)

    def __call__(self, correlations: jax.Array, flow: jax.Array) -> jax.Array:
        """Computes motion features `[B, h, w, channels]`, of which the last two are the flow."""
        x = nnx.relu(self.correlation2(nnx.relu(self.correlation1(correlations))))
        y = nnx.relu(self.flow2(nnx.relu(self.flow1(flow))))
        features = nnx.relu(self.conv(jnp.concatenate([x, y], axis=-1)))
        return jnp.concatenate([features, flow.astype(features.dtype)], axis=-1)


class ConvGRU(nnx.Module):
    """A gated recurrent unit whose gates are convolutions."""

    def __init__(
        self,
        hidden: int,
        inputs: int,
        kernel: tuple[int, int],
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        options = {"dtype": dtype, "rngs": rngs}
        self.update = Conv(hidden + inputs, hidden, kernel, **options)
        self.reset = Conv(hidden + inputs, hidden, kernel, **options)
        self.candidate = Conv(hidden + inputs, hidden, kernel, **options)

    def __call__(self, hidden: jax.Array, x: jax.Array) -> jax.Array:
        """Computes the next hidden state `[B, h, w, hidden]` from the input `[B, h, w, inputs]`."""
        both = jnp.concatenate([hidden, x], axis=-1)
        z, r = nnx.sigmoid(self.update(both)), nnx.sigmoid(self.reset(both))
        candidate = nnx.tanh(self.candidate(jnp.concatenate([r * hidden, x], axis=-1)))
        return (1 - z) * hidden + z * candidate


class Head(nnx.Module):
    """Two convolutions of the hidden state."""

    def __init__(
        self,
        hidden: int,
        channels: int,
        kernel: tuple[int, int],
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.conv1 = Conv(hidden, 2 * hidden, (3, 3), dtype=dtype, rngs=rngs)
        self.conv2 = Conv(2 * hidden, channels, kernel, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, h, w, hidden]` to `[B, h, w, channels]`."""
        return self.conv2(nnx.relu(self.conv1(x)))
