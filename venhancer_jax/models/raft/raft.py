"""RAFT: optical flow by recurrent refinement (arXiv 2003.12039), the large network."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.raft.correlation import (
    correlate,
    correlate_and_look_up,
    feature_pyramid,
    look_up,
)
from venhancer_jax.models.raft.encoders import BatchNorm, Encoder, InstanceNorm
from venhancer_jax.models.raft.update import ConvGRU, Head, MotionEncoder

ITERATIONS = 20
# Pixels per position of the flow before it is upsampled.
STRIDE = 8
# Correlations of all pairs are stored up to this size, otherwise computed again in each iteration,
# for as many pixels at a time as need so much.
_CORRELATION_BYTES = 2**30

# Hidden state and context features `[B, h, w, D]`, and the flow `[B, h, w, 2]` in positions.
State = tuple[jax.Array, jax.Array, jax.Array]


@dataclasses.dataclass(frozen=True)
class RaftConfig:
    """Sizes of RAFT.

    Attributes:
      widths: channels of the three stages of the encoders.
      features: channels of the features that are correlated.
      hidden: channels of the hidden state and of the context.
      levels: levels of the correlation pyramid.
      radius: radius of the lookup in each level.
      dtype: type of activations and weights in convolutions; flows are float32.
    """

    widths: tuple[int, int, int] = (64, 96, 128)
    features: int = 256
    hidden: int = 128
    levels: int = 4
    radius: int = 4
    dtype: DTypeLike = "float32"

    @classmethod
    def tiny(cls) -> "RaftConfig":
        """Returns a network for tests."""
        return cls(widths=(4, 6, 8), features=16, hidden=8, levels=2, radius=1)


class Raft(nnx.Module):
    """Optical flow from one frame to another."""

    def __init__(self, config: RaftConfig, rngs: nnx.Rngs):
        options = {"dtype": config.dtype, "rngs": rngs}
        hidden, samples = config.hidden, config.levels * (2 * config.radius + 1) ** 2
        self.config = config
        self.feature_encoder = Encoder(config.widths, config.features, norm=InstanceNorm, **options)
        self.context_encoder = Encoder(config.widths, 2 * hidden, norm=BatchNorm, **options)
        self.motion = MotionEncoder(samples, hidden, **options)
        self.gru_rows = ConvGRU(hidden, 2 * hidden, (1, 5), **options)
        self.gru_columns = ConvGRU(hidden, 2 * hidden, (5, 1), **options)
        self.flow_head = Head(hidden, 2, (3, 3), **options)
        self.mask_head = Head(hidden, 9 * STRIDE**2, (1, 1), **options)

    def __call__(
        self, first: jax.Array, second: jax.Array, iterations: int = ITERATIONS
    ) -> jax.Array:
        """Computes the flow from first to second frames.

        Args:
          first: frames `[B, H, W, 3]` in [-1, 1], sides multiples of 8.
          second: frames `[B, H, W, 3]` in [-1, 1].
          iterations: number of updates.

        Returns:
          float32 displacements `[B, H, W, 2]`, columns then rows, in pixels.
        """
        features = self.features(first), self.features(second)
        return self.flow(*features, self.context(first), iterations)

    def features(self, frames: jax.Array) -> jax.Array:
        """Computes the features `[N, H / 8, W / 8, C]` to correlate of frames `[N, H, W, 3]`."""
        return self.feature_encoder(frames.astype(self.config.dtype))

    def context(self, frames: jax.Array) -> jax.Array:
        """Computes hidden state and context `[N, H / 8, W / 8, 2 D]` of first frames."""
        return self.context_encoder(frames.astype(self.config.dtype))

    def flow(
        self, first: jax.Array, second: jax.Array, context: jax.Array, iterations: int = ITERATIONS
    ) -> jax.Array:
        """Computes the flow from features.

        Args:
          first: features `[B, h, w, C]` of the first frames.
          second: features `[B, h, w, C]` of the second frames.
          context: context `[B, h, w, 2 D]` of the first frames.
          iterations: number of updates.

        Returns:
          float32 displacements `[B, 8 h, 8 w, 2]`, columns then rows, in pixels.
        """
        sample, state = self.correlations(first, second), self.start(context)

        def step(state: State, _: None) -> tuple[State, None]:
            return self.update(state, sample(state[2])), None

        state, _ = jax.lax.scan(step, state, length=iterations)
        return self.upsample(state)

    def correlations(self, first: jax.Array, second: jax.Array):
        """Returns the function from a flow `[B, h, w, 2]` to the correlations around its ends.

        Args:
          first: features `[B, h, w, C]` of the first frames.
          second: features `[B, h, w, C]` of the second frames.
        """
        batch, height, width, _ = first.shape
        radius, pyramid = self.config.radius, feature_pyramid(second, self.config.levels)
        queries = first.reshape(batch, height * width, -1)
        bytes_per_query = 4 * batch * sum(x.shape[1] * x.shape[2] for x in pyramid)
        chunk_size = max(1, _CORRELATION_BYTES // bytes_per_query)
        stored = correlate(queries, pyramid) if chunk_size >= height * width else None
        rows, columns = jnp.arange(height, dtype=jnp.float32), jnp.arange(width, dtype=jnp.float32)
        grid = jnp.stack(jnp.meshgrid(columns, rows), axis=-1)

        def sample(flow: jax.Array) -> jax.Array:
            ends = (grid + flow).reshape(batch, -1, 2)
            if stored is None:
                found = correlate_and_look_up(queries, pyramid, ends, radius, chunk_size)
            else:
                found = look_up(stored, ends, radius)
            return found.reshape(batch, height, width, -1)

        return sample

    def start(self, context: jax.Array) -> State:
        """Returns the state before the first update: no flow."""
        hidden, inputs = jnp.split(context, 2, axis=-1)
        flow = jnp.zeros((*context.shape[:3], 2), jnp.float32)
        return nnx.tanh(hidden), nnx.relu(inputs), flow

    def update(self, state: State, correlations: jax.Array) -> State:
        """Refines the flow by correlations `[B, h, w, S]` around its ends."""
        hidden, inputs, flow = state
        dtype = hidden.dtype
        motion = self.motion(correlations.astype(dtype), flow.astype(dtype))
        x = jnp.concatenate([inputs, motion], axis=-1)
        hidden = self.gru_columns(self.gru_rows(hidden, x), x)
        return hidden, inputs, flow + self.flow_head(hidden).astype(jnp.float32)

    def upsample(self, state: State) -> jax.Array:
        """Computes the flow of every pixel as a mean of nine neighbouring positions.

        Returns:
          float32 displacements `[B, 8 h, 8 w, 2]` in pixels.
        """
        hidden, _, flow = state
        batch, height, width, _ = flow.shape
        mask = 0.25 * self.mask_head(hidden).astype(jnp.float32)
        mask = jax.nn.softmax(mask.reshape(batch, height, width, 9, STRIDE, STRIDE), axis=3)
        padded = jnp.pad(STRIDE * flow, ((0, 0), (1, 1), (1, 1), (0, 0)))
        neighbours = jnp.stack(
            [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=3
        )
        fine = jnp.einsum("bhwkyx,bhwkc->bhywxc", mask, neighbours, precision="highest")
        return fine.reshape(batch, STRIDE * height, STRIDE * width, 2)
