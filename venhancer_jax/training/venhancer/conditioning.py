"""Turns a batch of clips into the inputs of the denoiser: latents, noisy hints, text."""

import dataclasses

import jax

from venhancer_jax.models.functional import Params
from venhancer_jax.training.conditioning import LatentConditioning
from venhancer_jax.training.objective import Batch, Frozen, stream


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Example:
    """A batch in latent space.

    Attributes:
      clean: latents of the target, `[B, F, h, w, C]`.
      low: latents of the low-quality video, `[B, F, h, w, C]`; frames between key frames repeat
        the key frame before.
      hint: `low` with noise added, `[B, F, h, w, C]`.
      hint_t: time step of the noise in `hint`, `[B]`.
      scale: enlargement of the key frames, `[B]`.
      key_index: index of each key frame, -1 for frames to interpolate, `[B, F]`.
      text: prompt features `[B, L, D]`.
    """

    clean: jax.Array
    low: jax.Array
    hint: jax.Array
    hint_t: jax.Array
    scale: jax.Array
    key_index: jax.Array
    text: jax.Array


class Conditioning(LatentConditioning):
    """The networks of the system in training; the denoiser is UNet and ControlNet."""

    def example(self, frozen: Frozen, batch: Batch, key: jax.Array) -> Example:
        """Encodes a batch, without gradients.

        Args:
          frozen: parameters of `vae` and `text`.
          batch: arrays of `Batch`.
          key: random key of the step, from which posteriors and the hint's noise are drawn.
        """
        low = self.encode(frozen["vae"], batch["low"], stream(key, "hint posterior"))
        hint_t = batch["noise_aug"] - 1
        example = Example(
            clean=self.encode(frozen["vae"], batch["video"], stream(key, "target posterior")),
            low=low,
            hint=self.diffuse(low, hint_t, stream(key, "hint noise"))[0],
            hint_t=hint_t,
            scale=batch["scale"],
            key_index=batch["key_index"],
            text=self.text(frozen["text"], batch["tokens"]),
        )
        return jax.lax.stop_gradient(example)

    def encode_clips(self, frozen: Frozen, batch: Batch, key: jax.Array) -> dict[str, jax.Array]:
        """Computes latents of target and low-quality video, which can be stored in their place.

        Args:
          frozen: parameters of `vae` and `text`.
          batch: arrays of `Batch`.
          key: random key of the posteriors.
        """
        example = self.example(frozen, batch, key)
        return {"video": example.clean, "low": example.low}

    def predict(
        self, params: Params, frozen: Frozen, example: Example, noised: jax.Array, t: jax.Array
    ) -> jax.Array:
        """Predicts v `[B, F, h, w, C]`.

        Args:
          params: parameters that train.
          frozen: all other parameters; `denoiser` holds those of UNet and ControlNet.
          example: encoded batch.
          noised: noisy latents `[B, F, h, w, C]`.
          t: time steps `[B]`.
        """
        return self.denoiser(
            params | dict(frozen["denoiser"]),
            noised,
            t,
            example.text,
            hint=example.hint,
            hint_t=example.hint_t,
            scale=example.scale,
            key_index=example.key_index,
        )
