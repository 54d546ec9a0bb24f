"""Training of the VAE: absolute error, perceptual distance, and a prior on its latents."""

import dataclasses
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.training.conditioning import to_signed
from venhancer_jax.training.objective import Batch, Frozen, Metrics, stream
from venhancer_jax.training.perceptual import frame_loss


@dataclasses.dataclass(frozen=True)
class Autoencoder:
    """L1, LPIPS and KL divergence (Rombach et al. 2022, section 3.1), without a discriminator.

    Attributes:
      vae: the network.
      pixel_weight: of the mean absolute error of frames in [-1, 1].
      perceptual_weight: of their LPIPS; `frozen["perceptual"]` has its weights.
      kl_weight: of the divergence from a standard normal, per number of a latent.
    """

    vae: FunctionalModule
    pixel_weight: float = 1.0
    perceptual_weight: float = 0.0
    kl_weight: float = 1e-6

    def loss(
        self, params: Params, frozen: Frozen, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """The weighted sum and its parts."""
        vae = self.vae.bind(params)
        target = to_signed(batch["video"])
        posterior = vae.encode(target)
        noise = jax.random.normal(stream(key, "posterior"), posterior.mean.shape)
        frames = vae.decode(posterior.sample(noise))
        variance = jnp.exp(posterior.log_variance)
        divergence = jnp.square(posterior.mean) + variance - 1 - posterior.log_variance
        loss, metrics = frame_loss(
            frozen,
            frames,
            target,
            pixel_weight=self.pixel_weight,
            perceptual_weight=self.perceptual_weight,
        )
        metrics |= {"kl": 0.5 * divergence.mean(), "latent_std": jnp.std(posterior.mean)}
        return loss + self.kl_weight * metrics["kl"], metrics


def latent_scale(vae: FunctionalModule, params: Params, batches: Iterable[Batch]) -> float:
    """The factor that gives the latents of these batches a standard deviation of 1."""
    encode = jax.jit(lambda params, frames: vae.bind(params).encode(to_signed(frames)).mean)
    # The mean is none of the spread: in float64, as both are differences of large sums.
    latents = [np.asarray(encode(params, batch["video"]), np.float64) for batch in batches]
    return float(1 / np.std(np.concatenate([np.ravel(part) for part in latents])))
