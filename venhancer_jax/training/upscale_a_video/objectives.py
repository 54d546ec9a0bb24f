"""What the decoder of the video VAE learns: to decode without flicker, in the input's colours."""

import dataclasses

import jax
import jax.numpy as jnp

from venhancer_jax.models.discriminators.temporal_patchgan import refresh_vectors
from venhancer_jax.models.functional import FunctionalModule, Params, with_prefix
from venhancer_jax.training.conditioning import encode_frames
from venhancer_jax.training.loss import frame_loss, hinge_loss
from venhancer_jax.training.objective import (
    Batch,
    Frozen,
    Group,
    Metrics,
    gradient_only,
    stream,
    to_signed,
)
from venhancer_jax.training.upscale_a_video.conditioning import Conditioning

_DISCRIMINATOR = "discriminator"


@dataclasses.dataclass(frozen=True)
class Decoder:
    """L1, LPIPS and the verdict of a discriminator that learns in the same step.

    Upscale-A-Video paper, section 3.2.

    Attributes:
      vae: autoencoder whose decoder trains.
      scaling_factor: factor from the VAE's latents to those of the UNet.
      discriminator: network that scores patches of clips; None without one.
      conditioning: networks that sample latents, where the batch has none; None where latents are
        those of the target.
      steps: number of network calls that sample latents.
      pixel_weight: weight of the mean absolute error of frames in [-1, 1].
      perceptual_weight: weight of LPIPS, whose parameters are `frozen["perceptual"]`.
      adversarial_weight: weight of the discriminator's verdict.
    """

    vae: FunctionalModule
    scaling_factor: float
    discriminator: FunctionalModule | None = None
    conditioning: Conditioning | None = None
    steps: int = 30
    pixel_weight: float = 1.0
    perceptual_weight: float = 0.0
    adversarial_weight: float = 0.0

    def loss(
        self, params: Params, frozen: Frozen, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Computes the decoder's weighted sum and the parts; the gradient is that of both networks.

        Arguments as `Objective.loss` documents. Metrics are `pixel_error`, `perceptual_error`,
        `adversarial_loss` of the decoder and `discriminator_loss`.
        """
        decoder = {n: x for n, x in params.items() if not n.startswith(f"{_DISCRIMINATOR}.")}
        decoder |= dict(frozen["denoiser"])
        frames = self.decode(decoder, frozen, batch, key)
        target = to_signed(batch["video"])
        loss, metrics = frame_loss(
            frozen,
            frames,
            target,
            pixel_weight=self.pixel_weight,
            perceptual_weight=self.perceptual_weight,
        )
        if self.discriminator is None:
            return loss, metrics
        judge = with_prefix(params, _DISCRIMINATOR)
        verdict = self.discriminator(jax.lax.stop_gradient(judge), frames)
        metrics["adversarial_loss"] = -verdict.mean()
        loss += self.adversarial_weight * metrics["adversarial_loss"]
        metrics["discriminator_loss"] = hinge_loss(
            self.discriminator(judge, target),
            self.discriminator(judge, jax.lax.stop_gradient(frames)),
        )
        return loss + gradient_only(metrics["discriminator_loss"]), metrics

    def decode(self, params: Params, frozen: Frozen, batch: Batch, key: jax.Array) -> jax.Array:
        """Decodes the latents of a batch to frames `[B, F, H, W, 3]`.

        Args:
          params: all parameters of the VAE.
          frozen: parameters of the UNet and the text encoder, where latents are sampled.
          batch: arrays of `Batch`, with `latents [B, F, h, w, C]` where they are stored.
          key: random key of the step.
        """
        latents = self.latents(params, frozen, batch, key) / self.scaling_factor
        return self.vae.bind(params).decode(latents, to_signed(batch["low"]))

    def latents(self, params: Params, frozen: Frozen, batch: Batch, key: jax.Array) -> jax.Array:
        """Returns the latents `[B, F, h, w, C]` of a batch: stored, sampled or encoded.

        Args:
          params: all parameters of the VAE, where latents are encoded.
          frozen: parameters of the UNet and the text encoder, where latents are sampled.
          batch: arrays of `Batch`.
          key: random key of the step.
        """
        if "latents" in batch:
            return batch["latents"].astype(jnp.float32)
        if self.conditioning is not None:
            example = self.conditioning.inputs(frozen, batch, key)
            latents = self.conditioning.sample(
                frozen["upscale_a_video"], example, stream(key, "latents"), steps=self.steps
            )
        else:
            posterior = stream(key, "target posterior")
            raw = encode_frames(self.vae, params, batch["video"], posterior)
            latents = self.scaling_factor * raw
        return jax.lax.stop_gradient(latents)

    def sample_clips(self, frozen: Frozen, batch: Batch, key: jax.Array) -> dict[str, jax.Array]:
        """Samples the latents of a batch, to be stored beside its frames.

        Args:
          frozen: parameters of the UNet and the text encoder.
          batch: arrays of `Batch`.
          key: random key of the latents.
        """
        latents = self.latents({}, frozen, batch, key)
        return {"video": batch["video"], "low": batch["low"], "latents": latents}


def discriminator_group(learning_rate: float) -> Group:
    """Returns the discriminator's parameters as a group with an optimizer of their own.

    Args:
      learning_rate: learning rate after the warm-up.
    """
    return Group(prefix=f"{_DISCRIMINATOR}.", learning_rate=learning_rate, refresh=refresh_vectors)


def discriminator_params(params: Params) -> Params:
    """Names the parameters of a discriminator as they stand beside those of the decoder."""
    return {f"{_DISCRIMINATOR}.{name}": x for name, x in params.items()}
