"""Turns a batch of clips into the inputs of the denoiser: latents, noisy hints, text."""

import dataclasses

import jax
import jax.numpy as jnp

from venhancer_jax.diffusion.schedule import Schedule
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.training.objective import Batch, Frozen, stream, to_signed


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


@dataclasses.dataclass(frozen=True)
class Conditioning:
    """The networks of the system in training.

    Attributes:
      denoiser: UNet and ControlNet, trained in all or in part.
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

    def example(self, frozen: Frozen, batch: Batch, key: jax.Array) -> Example:
        """Encodes a batch, without gradients.

        Args:
          frozen: parameters of `vae` and `text`.
          batch: arrays of `Batch`.
          key: random key of the step, from which posteriors and the hint's noise are drawn.
        """
        low = self._encode(frozen["vae"], batch["low"], stream(key, "hint posterior"))
        hint_t = batch["noise_aug"] - 1
        example = Example(
            clean=self._encode(frozen["vae"], batch["video"], stream(key, "target posterior")),
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

    def decode(self, frozen: Frozen, latents: jax.Array) -> jax.Array:
        """Decodes latents `[B, F, h, w, C]` to frames `[B, F, H, W, 3]` in about [-1, 1]."""
        return self.vae.bind(frozen["vae"]).decode(latents / self.scaling_factor)

    def diffuse(
        self, latents: jax.Array, t: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Adds noise to latents; returns the noisy latents and the noise.

        Args:
          latents: clean latents `[B, F, h, w, C]`.
          t: time steps `[B]`.
          key: random key of the noise.
        """
        alpha, sigma = self.levels(t)
        noise = self.draw_noise(key, latents.shape)
        return alpha * latents + sigma * noise, noise

    def draw_noise(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Draws standard normal noise of a shape; the replay of recordings overrides it."""
        return jax.random.normal(key, shape)

    def levels(self, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns alpha and sigma `[B, 1, 1, 1, 1]` at time steps `t [B]`."""
        alphas, sigmas = jnp.asarray(self.schedule.alphas), jnp.asarray(self.schedule.sigmas)
        shape = (-1, 1, 1, 1, 1)
        return alphas[t].reshape(shape), sigmas[t].reshape(shape)

    def _encode(self, params: Params, frames: jax.Array, key: jax.Array) -> jax.Array:
        """Encodes uint8 frames to latents drawn from the posterior, one frame of a clip at a time.

        Floating arrays are precomputed latents and pass unchanged.
        """
        if jnp.issubdtype(frames.dtype, jnp.floating):
            return frames.astype(jnp.float32)
        vae = self.vae.bind(params)

        def encode_frame(frame: jax.Array) -> tuple[jax.Array, jax.Array]:
            posterior = vae.encode(to_signed(frame)[:, None])
            return posterior.mean[:, 0], posterior.std[:, 0]

        mean, std = jax.lax.map(encode_frame, jnp.moveaxis(frames, 1, 0))
        mean, std = jnp.moveaxis(mean, 0, 1), jnp.moveaxis(std, 0, 1)
        return self.scaling_factor * (mean + std * jax.random.normal(key, mean.shape))
