"""What VEnhancer can learn besides v-prediction: enhancement in one step.

A diffusion network that is trained at one time step, on low-quality latents in place of noisy
ones, enhances with one call (Chen et al. 2025, "DOVE"; Wu et al. 2024, "OSEDiff"): it loses the
freedom to invent, and gains speed.
"""

import dataclasses

import jax
import jax.numpy as jnp

from venhancer_jax.models.functional import Params
from venhancer_jax.training.loss import frame_loss
from venhancer_jax.training.objective import Batch, Frozen, Metrics, to_signed
from venhancer_jax.training.venhancer.conditioning import Conditioning


@dataclasses.dataclass(frozen=True)
class OneStep:
    """Distance of the one-step result to the clean clip, in latents and in pixels.

    The sampler repeats it with `solver="ddim"`, `steps=1`, `noise_levels=start + 1` and
    `start_noise=0`.

    Attributes:
      conditioning: networks and noise levels.
      start: time step that the low-quality latents stand for.
      latent_weight: weight of the mean absolute error of latents.
      pixel_weight: weight of the mean absolute error of decoded frames in [-1, 1].
      perceptual_weight: weight of LPIPS, whose parameters are `frozen["perceptual"]`.
    """

    conditioning: Conditioning
    start: int
    latent_weight: float = 1.0
    pixel_weight: float = 0.0
    perceptual_weight: float = 0.0

    def loss(
        self, params: Params, frozen: Frozen, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Computes the weighted sum and its parts; arguments as `Objective.loss` documents."""
        conditioning = self.conditioning
        example = conditioning.example(frozen, batch, key)
        t = jnp.full(example.clean.shape[:1], self.start)
        alpha, sigma = conditioning.levels(t)
        start = alpha * example.low
        prediction = conditioning.predict(params, frozen, example, start, t)
        enhanced = alpha * start - sigma * prediction
        metrics, loss = {}, jnp.zeros(())
        if self.latent_weight:
            metrics["latent_error"] = jnp.abs(enhanced - example.clean).mean()
            loss += self.latent_weight * metrics["latent_error"]
        if self.pixel_weight or self.perceptual_weight:
            frames, target = conditioning.decode(frozen, enhanced), to_signed(batch["video"])
            on_frames, errors = frame_loss(
                frozen,
                frames,
                target,
                pixel_weight=self.pixel_weight,
                perceptual_weight=self.perceptual_weight,
            )
            loss, metrics = loss + on_frames, metrics | errors
        return loss, metrics
