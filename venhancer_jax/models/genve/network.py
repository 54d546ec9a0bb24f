"""The whole GenVE network: VEnhancer's, guided by the texture of a reference."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from venhancer_jax.models.genve.config import GenVEConfig
from venhancer_jax.models.genve.local_attention import LocalAwareCrossAttention
from venhancer_jax.models.layers.text_kv_cache import Text
from venhancer_jax.models.remat import Remat, rematerialised
from venhancer_jax.models.venhancer.controlnet import ControlledUNet


class GuidedUNet(ControlledUNet):
    """UNet and ControlNet of VEnhancer, whose ControlNet also sees the texture of a reference.

    GenVE paper, section 3.4. The attention to the reference sees neither time step nor noisy
    latents, so that `texture` is computed once for all steps.
    """

    def __init__(self, config: GenVEConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        fuses = config.fusion != "none"
        self.lca = LocalAwareCrossAttention(config, rngs) if fuses else None
        self.remat: Remat = config.remat

    def texture(
        self, hint: jax.Array, reference: jax.Array, permutation: jax.Array | None = None
    ) -> jax.Array:
        """Computes the texture of the reference where the video has need of it.

        Args:
          hint: noise-augmented latents `[B, F, h, w, C]` of the video.
          reference: noise-augmented latents `[B, F, h, w, C]` of the key frame, warped to each
            frame.
          permutation: index `[B, F, N]` of the patch that each place takes, in training.

        Returns:
          Features `[B, F, h / patch, w / patch, width]` of patches.

        Raises:
          ValueError: a network without attention to a reference.
        """
        return rematerialised(self._attention(), self.remat)(hint, reference, permutation)

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
          x: noisy latents `[B, F, h, w, C]`.
          t: time steps `[B]`.
          text: text features `[B, L, D]`, or their keys and values.
          conditions: those of `ControlledUNet.with_features`, and optionally `texture`, features of
            patches `[B, F, h / patch, w / patch, width]`; with `has_texture [B]`, False leaves a
            video without it.
          control: features of the ControlNet from an earlier call.
          deep: features below the first level of the UNet from an earlier call.

        Returns:
          v `[B, F, h, w, C]` float32, and the features `control` and `deep` that were used.

        Raises:
          ValueError: texture for a network without attention to a reference.
        """
        others = dict(conditions)
        texture, present = others.pop("texture", None), others.pop("has_texture", None)
        if texture is not None and control is None:
            added = self._attention().fold(texture)
            if present is not None:
                added = jnp.where(present[:, None, None, None, None], added, 0)
            others["added"] = added
        return super().with_features(x, t, text, others, control=control, deep=deep)

    def _attention(self) -> LocalAwareCrossAttention:
        """Returns the attention to the reference, which a network without fusion lacks."""
        if self.lca is None:
            raise ValueError("fusion 'none': the network has no attention to a reference")
        return self.lca
