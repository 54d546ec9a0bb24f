"""From a batch of clips to what the denoiser is given: latents, noisy hints, text."""

import dataclasses

import jax
import jax.numpy as jnp

from venhancer_jax.diffusion.schedule import Schedule
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.training.objective import Batch, Frozen, stream


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Example:
    """A batch in latent space.

    Attributes:
      clean: latents of the target, `[B, F, h, w, C]`.
      low: latents of the low-quality video; between key frames stands the one before.
      hint: `low` with noise on it.
      hint_t: time step of that noise, `[B]`.
      scale: enlargement of the key frames, `[B]`.
      key_index: `[B, F]`, each key frame's own number, -1 for frames to be made.
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
    """The networks of the system as training sees them.

    Attributes:
      denoiser: UNet and ControlNet, trained in all or in part.
      vae: between pixels and latents, frozen.
      text: prompt features, frozen.
      scaling_factor: of the latents.
      schedule: noise levels.
    """

    denoiser: FunctionalModule
    vae: FunctionalModule
    text: FunctionalModule
    scaling_factor: float
    schedule: Schedule

    def example(self, frozen: Frozen, batch: Batch, key: jax.Array) -> Example:
        """Encodes a batch, without gradients."""
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

    def predict(
        self, params: Params, frozen: Frozen, example: Example, noised: jax.Array, t: jax.Array
    ) -> jax.Array:
        """The denoiser's v, `[B, F, h, w, C]`, for noisy latents at times `t [B]`."""
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
        """Frames `[B, F, H, W, 3]` in about [-1, 1] of latents."""
        return self.vae.bind(frozen["vae"]).decode(latents / self.scaling_factor)

    def diffuse(
        self, latents: jax.Array, t: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Latents noised to times `t [B]`, and the noise in them."""
        alpha, sigma = self.levels(t)
        noise = jax.random.normal(key, latents.shape)
        return alpha * latents + sigma * noise, noise

    def levels(self, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Alpha and sigma of each video, `[B, 1, 1, 1, 1]`."""
        alphas, sigmas = jnp.asarray(self.schedule.alphas), jnp.asarray(self.schedule.sigmas)
        shape = (-1, 1, 1, 1, 1)
        return alphas[t].reshape(shape), sigmas[t].reshape(shape)

    def _encode(self, params: Params, frames: jax.Array, key: jax.Array) -> jax.Array:
        """uint8 frames to latents drawn from the posterior, one frame of each clip at a time.

        What is floating already are latents that were computed before.
        """
        if jnp.issubdtype(frames.dtype, jnp.floating):
            return frames.astype(jnp.float32)
        vae = self.vae.bind(params)

        def of_frame(frame: jax.Array) -> tuple[jax.Array, jax.Array]:
            posterior = vae.encode(to_signed(frame)[:, None])
            return posterior.mean[:, 0], posterior.std[:, 0]

        mean, std = jax.lax.map(of_frame, jnp.moveaxis(frames, 1, 0))
        mean, std = jnp.moveaxis(mean, 0, 1), jnp.moveaxis(std, 0, 1)
        return self.scaling_factor * (mean + std * jax.random.normal(key, mean.shape))


def to_signed(frames: jax.Array) -> jax.Array:
    """uint8 frames to float32 in [-1, 1]."""
    return frames.astype(jnp.float32) / 127.5 - 1
