"""What latent diffusion of any system does to a batch: encodes frames, adds noise, decodes."""

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from venhancer_jax.diffusion.schedule import Schedule
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.training.objective import Batch, Frozen, to_signed


@dataclasses.dataclass(frozen=True)
class LatentConditioning(abc.ABC):
    """The networks of a system in training.

    Attributes:
      denoiser: network that predicts v, trained in all or in part.
      vae: frozen autoencoder between pixels and latents.
      text: frozen text encoder.
      scaling_factor: factor from the VAE's latents to those of the denoiser.
      schedule: noise levels.
    """

    denoiser: FunctionalModule
    vae: FunctionalModule
    text: FunctionalModule
    scaling_factor: float
    schedule: Schedule

    @abc.abstractmethod
    def example(self, frozen: Frozen, batch: Batch, key: jax.Array) -> Any:
        """Encodes a batch, without gradients; `clean` of the result are the target's latents.

        Args:
          frozen: parameters of `vae` and `text`.
          batch: arrays of `Batch`.
          key: random key of the step.
        """

    @abc.abstractmethod
    def predict(
        self, params: Params, frozen: Frozen, example: Any, noised: jax.Array, t: jax.Array
    ) -> jax.Array:
        """Predicts v `[B, F, h, w, C]`.

        Args:
          params: parameters that train.
          frozen: all other parameters; `denoiser` holds the frozen ones of the denoiser.
          example: encoded batch.
          noised: noisy latents `[B, F, h, w, C]`.
          t: time steps `[B]`.
        """

    def encode(self, params: Params, frames: jax.Array, key: jax.Array) -> jax.Array:
        """Encodes frames to latents drawn from the posterior, one frame of a clip at a time.

        Floating arrays are precomputed latents and pass unchanged.

        Args:
          params: parameters of `vae`.
          frames: uint8 frames `[B, F, H, W, 3]`, or latents `[B, F, h, w, C]`.
          key: random key of the posterior.
        """
        if jnp.issubdtype(frames.dtype, jnp.floating):
            return frames.astype(jnp.float32)
        return self.scaling_factor * encode_frames(self.vae, params, frames, key)

    def decode(self, frozen: Frozen, latents: jax.Array) -> jax.Array:
        """Decodes latents `[B, F, h, w, C]` to frames `[B, F, H, W, 3]` in about [-1, 1]."""
        return self.vae.bind(frozen["vae"]).decode(latents / self.scaling_factor)

    def diffuse(self, x: jax.Array, t: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Adds noise to latents or frames; returns them with noise, and the noise.

        Args:
          x: clean latents or frames `[B, F, h, w, C]`.
          t: time steps `[B]`.
          key: random key of the noise.
        """
        alpha, sigma = self.levels(t)
        noise = self.draw_noise(key, x.shape)
        return alpha * x + sigma * noise, noise

    def draw_noise(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Draws standard normal noise of a shape; the replay of recordings overrides it."""
        return jax.random.normal(key, shape)

    def levels(self, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns alpha and sigma `[B, 1, 1, 1, 1]` at time steps `t [B]`."""
        alphas, sigmas = jnp.asarray(self.schedule.alphas), jnp.asarray(self.schedule.sigmas)
        shape = (-1, 1, 1, 1, 1)
        return alphas[t].reshape(shape), sigmas[t].reshape(shape)


def encode_frames(
    vae: FunctionalModule, params: Params, frames: jax.Array, key: jax.Array
) -> jax.Array:
    """Encodes frames to raw latents drawn from the posterior, one frame of a clip at a time.

    Args:
      vae: autoencoder.
      params: parameters of the autoencoder.
      frames: uint8 frames `[B, F, H, W, 3]`.
      key: random key of the posterior.

    Returns:
      Latents `[B, F, h, w, C]`, not yet scaled.
    """
    bound = vae.bind(params)

    def encode_frame(frame: jax.Array) -> tuple[jax.Array, jax.Array]:
        posterior = bound.encode(to_signed(frame)[:, None])
        return posterior.mean[:, 0], posterior.std[:, 0]

    mean, std = jax.lax.map(encode_frame, jnp.moveaxis(frames, 1, 0))
    mean, std = jnp.moveaxis(mean, 0, 1), jnp.moveaxis(std, 0, 1)
    return mean + std * jax.random.normal(key, mean.shape)
