"""The UNet of Upscale-A-Video: Stable Diffusion's x4 upscaler with temporal layers."""

import jax
import jax.numpy as jnp
from flax import nnx

from venhancer_jax.models.layers.convolutions import SpatialConv
from venhancer_jax.models.layers.embeddings import MLP, sinusoidal_embedding
from venhancer_jax.models.layers.norms import GroupNorm
from venhancer_jax.models.layers.text_kv_cache import Text, text_for
from venhancer_jax.models.upscale_a_video.blocks import DownLevel, MiddleLevel, UpLevel
from venhancer_jax.models.upscale_a_video.config import UpscaleUNetConfig
from venhancer_jax.sharding.mesh import VIDEO_AXES, constrain


class Head(nnx.Module):
    """The last layers: normalisation and convolution to the prediction, in float32."""

    def __init__(self, config: UpscaleUNetConfig, rngs: nnx.Rngs):
        # In float32: the solver multiplies the rounding of the prediction by the guidance scale.
        width, exact = config.channels[0], jnp.float32
        self.norm = GroupNorm(
            width, over_frames=config.temporal, epsilon=1e-5, dtype=exact, rngs=rngs
        )
        self.conv = SpatialConv(width, config.latent_channels, dtype=exact, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Computes the prediction `[B, F, h, w, 4]` float32 from features `[B, F, h, w, C]`."""
        return self.conv(nnx.silu(self.norm(x)))


class UpscaleUNet(nnx.Module):
    """The UNet, which predicts v from noisy latents and noisy low-resolution frames.

    Upscale-A-Video paper (arXiv 2312.06640), section 3.2. Where the paper and the published
    network differ, this is the published one.
    """

    def __init__(self, config: UpscaleUNetConfig, rngs: nnx.Rngs):
        dtype, channels = config.dtype, config.channels
        embedding = config.embedding_width
        self.time_embedding = MLP(channels[0], embedding, dtype=dtype, rngs=rngs)
        self.label_embedding = (
            nnx.Embed(config.labels, embedding, dtype=dtype, rngs=rngs) if config.labels else None
        )
        self.conv_in = SpatialConv(config.in_channels, channels[0], dtype=dtype, rngs=rngs)
        skips = skip_channels(config)
        self.down = nnx.List(
            DownLevel(config, channels[max(0, level - 1)], level, rngs)
            for level in range(len(channels))
        )
        self.middle = MiddleLevel(config, rngs)
        up, previous = [], channels[-1]
        for level in reversed(range(len(channels))):
            taken = [skips.pop() for _ in range(config.blocks_per_level + 1)]
            up.append(UpLevel(config, previous, taken, level, rngs))
            previous = channels[level]
        self.up = nnx.List(up)
        self.head = Head(config, rngs)
        self.width = channels[0]

    def __call__(
        self, x: jax.Array, t: jax.Array, text: Text, label: jax.Array | None = None
    ) -> jax.Array:
        """Predicts v.

        Args:
          x: noisy latents, then noisy low-resolution frames in [-1, 1], `[B, F, h, w, 7]`, of any
            size.
          t: time steps `[B]`, integers or not.
          text: text features `[B, L, D]`, or their keys and values.
          label: noise levels of the low-resolution frames `[B]`, integers from 0 to 350; None for a
            network without noise levels.

        Returns:
          v `[B, F, h, w, 4]` float32.
        """
        return self.with_deep(x, t, text, label)[0]

    def with_deep(
        self,
        x: jax.Array,
        t: jax.Array,
        text: Text,
        label: jax.Array | None = None,
        deep: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Predicts v, optionally with the deep features of an earlier call.

        Features below the first level change little from one denoising step to the next (DeepCache,
        arXiv 2312.00858).

        Args:
          x: noisy latents and noisy low-resolution frames `[B, F, h, w, 7]`.
          t: time steps `[B]`.
          text: text features `[B, L, D]`, or their keys and values.
          label: noise levels `[B]`.
          deep: features `[B, F, h, w, C]` below the first level, from an earlier call; None
            computes them.

        Returns:
          v `[B, F, h, w, 4]` float32, and the features below the first level.
        """
        embedding = self.embed(t, label)
        y = self.conv_in(constrain(x, VIDEO_AXES))
        first, last = self.down[0], self.up[-1]
        *shallow, y = [y, *first(y, embedding, text_for(text, "down.0"))]
        if deep is None:
            deep = self._below(shallow, y, embedding, text)
        y = last(deep, shallow, embedding, text_for(text, f"up.{len(self.up) - 1}"))
        return self.head(last.mix(y, embedding)), deep

    def with_features(
        self,
        x: jax.Array,
        t: jax.Array,
        text: Text,
        conditions: dict[str, jax.Array],
        *,
        control: None = None,
        deep: jax.Array | None = None,
    ) -> tuple[jax.Array, None, jax.Array]:
        """Predicts v, as the denoising step of all systems calls a network.

        Args:
          x: noisy latents `[B, F, h, w, 4]`.
          t: time steps `[B]`.
          text: text features `[B, L, D]`, or their keys and values.
          conditions: low_res, noisy low-resolution frames `[B, F, h, w, 3]`; label, their noise
            levels `[B]`; none for a network that sees neither.
          control: features of a ControlNet, which this network has not.
          deep: features below the first level, from an earlier call; None computes them.

        Returns:
          v `[B, F, h, w, 4]` float32, None, and the features below the first level.
        """
        if "low_res" in conditions:
            x = jnp.concatenate([x, conditions["low_res"]], axis=-1)
        v, deep = self.with_deep(x, t, text, conditions.get("label"), deep)
        return v, None, deep

    def embed(self, t: jax.Array, label: jax.Array | None) -> jax.Array:
        """Embeds time steps `[B]` and noise levels `[B]` as `[B, 1, E]`.

        Raises:
          ValueError: no noise levels for a network that needs them.
        """
        embedding = self.time_embedding(sinusoidal_embedding(t, self.width))
        if self.label_embedding is not None:
            if label is None:
                raise ValueError("the network needs the noise level of its low-resolution frames")
            embedding = embedding + self.label_embedding(label)
        return embedding[:, None]

    def _below(
        self, shallow: list[jax.Array], y: jax.Array, embedding: jax.Array, text: Text
    ) -> jax.Array:
        """Computes the features below the first level.

        Args:
          shallow: outputs of the first level's blocks.
          y: last output of the first level on the way down.
          embedding: embedding of time and noise level `[B, 1, E]`.
          text: text features `[B, L, D]`, or their keys and values.
        """
        skips = [shallow[-1], y]  # the first one for its size
        # A skip is the value before the temporal module.
        y = self.down[0].mix(y, embedding)
        for i, level in list(enumerate(self.down))[1:]:
            outputs = level(y, embedding, text_for(text, f"down.{i}"))
            skips += outputs
            y = level.mix(outputs[-1], embedding)
        y = self.middle.mix(self.middle(y, embedding, text_for(text, "middle")), embedding)
        for i, level in list(enumerate(self.up))[:-1]:
            y = level.mix(level(y, skips, embedding, text_for(text, f"up.{i}")), embedding)
        return y


def skip_channels(config: UpscaleUNetConfig) -> list[int]:
    """Returns the channels of every skip: the first convolution, each block, each downsampling."""
    channels = [config.channels[0]]
    for level, wide in enumerate(config.channels):
        channels += [wide] * config.blocks_per_level
        if level < len(config.channels) - 1:
            channels.append(wide)
    return channels
