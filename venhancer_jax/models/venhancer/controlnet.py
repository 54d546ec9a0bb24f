"""The video ControlNet, which conditions the prior on key frames, their noise and scale."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from venhancer_jax.models.layers.convolutions import SpatialConv
from venhancer_jax.models.layers.embeddings import MLP, sinusoidal_embedding
from venhancer_jax.models.layers.initializers import zeros
from venhancer_jax.models.layers.linear import Linear
from venhancer_jax.models.layers.text_kv_cache import Text, text_for
from venhancer_jax.models.venhancer.unet3d import Encoder, UNet3D, UNet3DConfig, encoder_channels


class VideoControlNet(nnx.Module):
    """A trainable copy of the prior's encoder with video-aware conditioning (paper, section 3.4).

    Key frames of a video have a low-quality latent (the hint), frames to interpolate have none.
    Hint, noise level of the hint and upsampling scale are added to key frames only.
    """

    def __init__(self, config: UNet3DConfig, rngs: nnx.Rngs):
        dtype = config.dtype
        self.encoder = Encoder(config, rngs)
        self.hint_conv = SpatialConv(
            config.latent_channels, config.width, kernel_init=zeros, dtype=dtype, rngs=rngs
        )
        self.noise_embedding = Linear(
            config.embedding_width,
            config.embedding_width,
            kernel_init=zeros,
            dtype=dtype,
            rngs=rngs,
        )
        self.scale_embedding = MLP(
            config.width, config.embedding_width, zero_out=True, dtype=dtype, rngs=rngs
        )
        self.zero_convs = nnx.List(
            Linear(channels, channels, kernel_init=zeros, dtype=dtype, rngs=rngs)
            for channels in (*encoder_channels(config), config.channels[-1])
        )
        self.width = config.width

    def __call__(
        self,
        x: jax.Array,
        t: jax.Array,
        text: Text,
        *,
        hint: jax.Array | None = None,
        hint_t: jax.Array | None = None,
        scale: jax.Array | None = None,
        key_index: jax.Array | None = None,
        added: jax.Array | None = None,
        only_first_level: bool = False,
    ) -> tuple[jax.Array, ...]:
        """Computes the features that are added to the outputs of the prior's encoder.

        Any condition may be missing. Without `key_index` all frames count as key frames for
        `hint_t` and `scale`, and the hint is ignored.

        Args:
          x: noisy latents `[B, F, h, w, 4]`.
          t: time steps `[B]`.
          text: text features `[B, L, D]`, or their keys and values.
          hint: noise-augmented latents of the key frames, `[B, K, h, w, 4]`.
          hint_t: time step of the noise in the hint, `[B]`.
          scale: upsampling factor of the key frames, `[B]`.
          key_index: index `[B, F]` of each frame in `hint`, -1 for frames to interpolate.
          added: features `[B, F, h, w, C]` to add where those of the hint are added.
          only_first_level: whether to stop before the first downsampling.

        Returns:
          Features `[B, F, h', w', C']` for each output of the encoder.
        """
        if hint is not None and key_index is not None:
            hints = self.place_hints(hint, key_index)
            added = hints if added is None else hints + added
        is_key = jnp.ones(x.shape[:2], bool) if key_index is None else key_index >= 0
        embedding = self.embed(t, hint_t, scale, is_key)
        features = self.encoder(
            x, embedding, text_for(text, "encoder"), added, only_first_level=only_first_level
        )
        convs = list(self.zero_convs)[: len(features)]
        return tuple(conv(y) for conv, y in zip(convs, features, strict=True))

    def embed(
        self,
        t: jax.Array,
        hint_t: jax.Array | None,
        scale: jax.Array | None,
        is_key: jax.Array,
    ) -> jax.Array:
        """Embeds time, noise level and scale (paper, equations 8 to 17).

        Args:
          t: time steps `[B]`.
          hint_t: time step of the noise in the hint, `[B]`.
          scale: upsampling factor of the key frames, `[B]`.
          is_key: whether each frame is a key frame, `[B, F]`.

        Returns:
          Embeddings `[B, F, E]`.
        """
        embedding = self.encoder.embed_time(t)
        if hint_t is not None:
            noise_level = self.noise_embedding(self.encoder.embed_time(hint_t))
            embedding = embedding + jnp.where(is_key[..., None], noise_level, 0)
        if scale is not None:
            enlarged = self.scale_embedding(sinusoidal_embedding(scale, self.width))[:, None]
            embedding = embedding + jnp.where(is_key[..., None], enlarged, 0)
        return embedding

    def place_hints(self, hint: jax.Array, key_index: jax.Array) -> jax.Array:
        """Computes features `[B, F, h, w, C]` of hints `[B, K, h, w, 4]` at their key frames."""
        index = jnp.maximum(key_index, 0)[:, :, None, None, None]
        features = self.hint_conv(jnp.take_along_axis(hint, index, axis=1))
        return jnp.where((key_index >= 0)[..., None, None, None], features, 0)


class ControlledUNet(nnx.Module):
    """The whole VEnhancer network: the UNet and its ControlNet."""

    def __init__(self, config: UNet3DConfig, rngs: nnx.Rngs):
        self.unet = UNet3D(config, rngs)
        self.controlnet = VideoControlNet(config, rngs)

    def __call__(
        self,
        x: jax.Array,
        t: jax.Array,
        text: Text,
        *,
        hint: jax.Array | None = None,
        hint_t: jax.Array | None = None,
        scale: jax.Array | None = None,
        key_index: jax.Array | None = None,
    ) -> jax.Array:
        """Predicts v.

        Args:
          x: noisy latents `[B, F, h, w, 4]`.
          t: time steps `[B]`.
          text: text features `[B, L, D]`, or their keys and values.
          hint: noise-augmented latents of the key frames, `[B, K, h, w, 4]`.
          hint_t: time step of the noise in the hint, `[B]`.
          scale: upsampling factor of the key frames, `[B]`.
          key_index: index `[B, F]` of each frame in `hint`, -1 for frames to interpolate.

        Returns:
          v `[B, F, h, w, 4]` float32.
        """
        conditions = {"hint": hint, "hint_t": hint_t, "scale": scale, "key_index": key_index}
        return self.with_features(x, t, text, conditions)[0]

    def with_features(
        self,
        x: jax.Array,
        t: jax.Array,
        text: Text,
        conditions: Mapping[str, jax.Array | None],
        *,
        control: tuple[jax.Array, ...] | None = None,
        deep: jax.Array | None = None,
    ) -> tuple[jax.Array, tuple[jax.Array, ...], jax.Array]:
        """Predicts v, optionally with features of an earlier call.

        Args:
          x: noisy latents `[B, F, h, w, 4]`.
          t: time steps `[B]`.
          text: text features `[B, L, D]`, or their keys and values.
          conditions: `hint`, `hint_t`, `scale` and `key_index` by name, as for `__call__`.
          control: features of the ControlNet from an earlier call, with `deep` at least those of
            the first level; an empty tuple for the UNet alone; None computes them.
          deep: features below the first level of the UNet from an earlier call; with them the
            ControlNet computes its first level only. None computes them.

        Returns:
          v `[B, F, h, w, 4]` float32, and the features `control` and `deep` that were used.
        """
        if control is None:
            control = self.controlnet(
                x,
                t,
                text_for(text, "controlnet"),
                **conditions,
                only_first_level=deep is not None,
            )
        v, deep = self.unet.with_deep(x, t, text_for(text, "unet"), control, deep)
        return v, control, deep


def key_index_of_mask(mask: jax.Array) -> jax.Array:
    """Converts masks of the first release to key-frame indices.

    Args:
      mask: mask `[B, F]`, 0 for key frames in the order of the hint, 1 for frames to interpolate.

    Returns:
      Index `[B, F]` of each frame in the hint, -1 for frames to interpolate.
    """
    is_key = mask == 0
    return jnp.where(is_key, jnp.cumsum(is_key, axis=-1) - 1, -1)
