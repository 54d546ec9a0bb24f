"""Adds the reference to VEnhancer's inputs: the clean key frame, made worse as in the paper."""

import dataclasses

import jax
import jax.numpy as jnp
from einops import repeat

from venhancer_jax.diffusion.reference import mask_patches, warp_to_frames
from venhancer_jax.models.functional import Params
from venhancer_jax.models.genve.config import GenVEConfig
from venhancer_jax.models.genve.shuffle import permute_in_windows
from venhancer_jax.training.objective import Batch, Frozen, stream
from venhancer_jax.training.venhancer import conditioning as venhancer


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Example(venhancer.Example):
    """A batch in latent space, and its references.

    Attributes:
      reference: latents of the key frame, with noise, warped to each frame and masked,
        `[B, F, h, w, C]`; None for a network without attention to them.
      has_reference: whether each video has a reference, `[B]`.
      permutation: index of the reference patch that each place takes, `[B, F, N]`; None for its
        own.
    """

    reference: jax.Array | None = None
    has_reference: jax.Array | None = None
    permutation: jax.Array | None = None


@dataclasses.dataclass(frozen=True)
class Conditioning(venhancer.Conditioning):
    """The networks of the system in training, and what happens to a reference.

    GenVE paper, section 3.3: noise, then warp, then mask.

    Attributes:
      sizes: sizes of the denoiser.
      noise: whether the reference has noise, of the level of the video's.
      temporal: whether the reference is warped to each frame; else all frames have the key frame.
      mask: largest share of masked patches, drawn for each video from 0 up; 0 masks none.
      dropout: share of videos without a reference.
    """

    sizes: GenVEConfig
    noise: bool = True
    temporal: bool = True
    mask: float = 0.5
    dropout: float = 0.1

    def example(self, frozen: Frozen, batch: Batch, key: jax.Array) -> Example:
        """Encodes a batch, without gradients.

        Args:
          frozen: parameters of `vae` and `text`.
          batch: arrays of `Batch`, with `key_frame [B]` and `flow [B, F, h, w, 2]` from each frame
            to the key frame, in latents.
          key: random key of the step, from which everything random is drawn.
        """
        base = super().example(frozen, batch, key)
        # Not `asdict`, which copies.
        fields = {f.name: getattr(base, f.name) for f in dataclasses.fields(base)}
        if self.sizes.fusion == "none":
            return Example(**fields)
        videos, frames, height, width, _ = base.clean.shape
        patches = height // self.sizes.patch, width // self.sizes.patch
        permutation = None
        if self.sizes.fusion == "local":
            permutation = permute_in_windows(
                stream(key, "shuffle"), (videos, frames), patches, self.sizes.neighbours
            )
        has = jax.random.uniform(stream(key, "reference dropout"), (videos,)) >= self.dropout
        reference = jnp.where(has[:, None, None, None, None], self.reference(base, batch, key), 0)
        return jax.lax.stop_gradient(
            Example(**fields, reference=reference, has_reference=has, permutation=permutation)
        )

    def reference(self, example: venhancer.Example, batch: Batch, key: jax.Array) -> jax.Array:
        """Computes the references `[B, F, h, w, C]` of a batch from its clean key frames.

        Args:
          example: encoded batch.
          batch: arrays of `Batch`, with `key_frame` and `flow`.
          key: random key of the step.
        """
        clean, frames = example.clean, example.clean.shape[1]
        picture = jnp.take_along_axis(clean, batch["key_frame"][:, None, None, None, None], axis=1)
        if self.noise:
            picture, _ = self.diffuse(picture, example.hint_t, stream(key, "reference noise"))
        if self.temporal:
            reference = warp_to_frames(picture[:, 0], batch["flow"])
        else:
            reference = repeat(picture[:, 0], "b h w c -> b f h w c", f=frames)
        if not self.mask:
            return reference
        ratio = self.mask * jax.random.uniform(stream(key, "mask ratio"), clean.shape[:1])
        return mask_patches(stream(key, "mask"), reference, ratio, self.sizes.patch)

    def predict(
        self, params: Params, frozen: Frozen, example: Example, noised: jax.Array, t: jax.Array
    ) -> jax.Array:
        """Predicts v `[B, F, h, w, C]`.

        Args:
          params: parameters that train.
          frozen: all other parameters; `denoiser` holds those of UNet, ControlNet and LCA.
          example: encoded batch.
          noised: noisy latents `[B, F, h, w, C]`.
          t: time steps `[B]`.
        """
        network = self.denoiser.bind(params | dict(frozen["denoiser"]))
        conditions = {
            "hint": example.hint,
            "hint_t": example.hint_t,
            "scale": example.scale,
            "key_index": example.key_index,
        }
        if example.reference is not None:
            texture = network.texture(example.hint, example.reference, example.permutation)
            conditions |= {"texture": texture, "has_texture": example.has_reference}
        return network.with_features(noised, t, example.text, conditions)[0]
