"""From a batch of clips to a loss: encode, augment with noise, predict v."""

import dataclasses
import zlib
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from venhancer_jax.diffusion.schedule import STEPS, Schedule
from venhancer_jax.models.functional import Network, Params
from venhancer_jax.training.loss import v_target

TIME_BUCKETS = 10

# uint8 video and low [B, F, H, W, 3]; key_index [B, F]; scale, noise_aug [B]; tokens [B, 77].
Batch = Mapping[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Objective:
    """The v-prediction loss of the controlled UNet (VEnhancer paper, sections 3.3 and 3.4).

    Attributes:
      denoiser: UNet and ControlNet.
      vae: between pixels and latents.
      text: prompt features.
      scaling_factor: of the latents.
      schedule: noise levels.
    """

    denoiser: Network
    vae: Network
    text: Network
    scaling_factor: float
    schedule: Schedule

    def loss(
        self,
        denoiser_params: Params,
        vae_params: Params,
        text_params: Params,
        batch: Batch,
        key: jax.Array,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Mean squared error of v, and metrics.

        Args:
          denoiser_params: trained, all or in part.
          vae_params: frozen.
          text_params: frozen.
          batch: of `Batch`.
          key: of this step.

        Returns:
          The loss `[]` and `loss_by_time [10]`, `count_by_time [10]`.
        """
        clean = self._encode(vae_params, batch["video"], stream(key, "target posterior"))
        low = self._encode(vae_params, batch["low"], stream(key, "hint posterior"))
        clean, low = jax.lax.stop_gradient((clean, low))
        text = jax.lax.stop_gradient(self.text(text_params, batch["tokens"]))

        t_hint = batch["noise_aug"] - 1
        hint = self._diffuse(low, t_hint, stream(key, "hint noise"))[0]
        t = jax.random.randint(stream(key, "time"), (clean.shape[0],), 0, STEPS)
        noised, noise = self._diffuse(clean, t, stream(key, "noise"))
        # Each frame's own low-quality latent stands at its place: the place is the index.
        place = jnp.arange(clean.shape[1])
        prediction = self.denoiser(
            denoiser_params,
            noised,
            t,
            text,
            hint=hint,
            hint_t=t_hint,
            scale=batch["scale"],
            key_index=jnp.where(batch["key_index"] >= 0, place, -1),
        )
        alpha, sigma = self._levels(t)
        target = v_target(clean, noise, alpha, sigma)
        by_video = jnp.mean(jnp.square(prediction - target), axis=(1, 2, 3, 4))
        bucket = jax.nn.one_hot(t * TIME_BUCKETS // STEPS, TIME_BUCKETS)
        metrics = {"loss_by_time": by_video @ bucket, "count_by_time": bucket.sum(0)}
        return by_video.mean(), metrics

    def _encode(self, params: Params, frames: jax.Array, key: jax.Array) -> jax.Array:
        """uint8 frames to latents drawn from the posterior, one frame of each clip at a time."""
        vae = self.vae.bind(params)

        def of_frame(frame: jax.Array) -> tuple[jax.Array, jax.Array]:
            posterior = vae.encode((frame.astype(jnp.float32) / 127.5 - 1)[:, None])
            return posterior.mean[:, 0], posterior.std[:, 0]

        mean, std = jax.lax.map(of_frame, jnp.moveaxis(frames, 1, 0))
        mean, std = jnp.moveaxis(mean, 0, 1), jnp.moveaxis(std, 0, 1)
        return self.scaling_factor * (mean + std * jax.random.normal(key, mean.shape))

    def _diffuse(
        self, latents: jax.Array, t: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Noised latents and the noise in them."""
        alpha, sigma = self._levels(t)
        noise = jax.random.normal(key, latents.shape)
        return alpha * latents + sigma * noise, noise

    def _levels(self, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Alpha and sigma of each video, `[B, 1, 1, 1, 1]`."""
        alphas, sigmas = jnp.asarray(self.schedule.alphas), jnp.asarray(self.schedule.sigmas)
        shape = (-1, 1, 1, 1, 1)
        return alphas[t].reshape(shape), sigmas[t].reshape(shape)


def stream(key: jax.Array, name: str) -> jax.Array:
    """The key of one purpose."""
    return jax.random.fold_in(key, jnp.uint32(zlib.crc32(name.encode())))
