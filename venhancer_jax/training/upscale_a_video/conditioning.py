"""Turns a batch of clips into the inputs of the UNet, and samples latents as the system does."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.guidance import v_to_x0
from venhancer_jax.diffusion.solvers import ddim_steps
from venhancer_jax.diffusion.timesteps import whole_stride_times
from venhancer_jax.models.functional import Params
from venhancer_jax.training.conditioning import LatentConditioning
from venhancer_jax.training.objective import Batch, Frozen, stream, to_signed


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Example:
    """What the UNet sees of a batch.

    Attributes:
      low: low-resolution frames in [-1, 1] with noise added, `[B, F, h, w, 3]`.
      label: time step of the noise in `low`, `[B]`.
      text: prompt features `[B, L, D]`.
      clean: latents of the target, `[B, F, h, w, C]`; None where they are to be sampled.
    """

    low: jax.Array
    label: jax.Array
    text: jax.Array
    clean: jax.Array | None = None


class Conditioning(LatentConditioning):
    """The networks of the system in training; the denoiser is the UNet."""

    def example(self, frozen: Frozen, batch: Batch, key: jax.Array) -> Example:
        """Encodes a batch, without gradients.

        Args:
          frozen: parameters of `vae` and `text`.
          batch: arrays of `Batch`.
          key: random key of the step, from which posteriors and the noise of `low` are drawn.
        """
        clean = self.encode_clips(frozen, batch, key)["video"]
        example = dataclasses.replace(self.inputs(frozen, batch, key), clean=clean)
        return jax.lax.stop_gradient(example)

    def inputs(self, frozen: Frozen, batch: Batch, key: jax.Array) -> Example:
        """Computes the conditions of a batch, without its target.

        Args:
          frozen: parameters of `text`.
          batch: low-resolution frames, noise levels and tokens of `Batch`.
          key: random key of the step.
        """
        label, low = batch["noise_aug"] - 1, to_signed(batch["low"])
        noised, _ = self.diffuse(low, label, stream(key, "low noise"))
        text = self.text(frozen["text"], batch["tokens"])
        return jax.lax.stop_gradient(Example(noised, label, text))

    def encode_clips(self, frozen: Frozen, batch: Batch, key: jax.Array) -> dict[str, jax.Array]:
        """Computes the target's latents, which can be stored in its place.

        Args:
          frozen: parameters of `vae`.
          batch: arrays of `Batch`.
          key: random key of the step.
        """
        video = self.encode(frozen["vae"], batch["video"], stream(key, "target posterior"))
        return {"video": video, "low": batch["low"]}

    def predict(
        self, params: Params, frozen: Frozen, example: Example, noised: jax.Array, t: jax.Array
    ) -> jax.Array:
        """Predicts v `[B, F, h, w, C]`.

        Args:
          params: parameters that train.
          frozen: all other parameters; `denoiser` holds those of the UNet.
          example: encoded batch.
          noised: noisy latents `[B, F, h, w, C]`.
          t: time steps `[B]`.
        """
        x = jnp.concatenate([noised, example.low], axis=-1)
        params = params | dict(frozen.get("denoiser", {}))
        return self.denoiser(params, x, t, example.text, example.label)

    def sample(self, params: Params, example: Example, key: jax.Array, *, steps: int) -> jax.Array:
        """Samples latents `[B, F, h, w, C]` with DDIM, from noise and without guidance.

        Args:
          params: all parameters of the UNet.
          example: conditions.
          key: random key of the first latents.
          steps: number of network calls.
        """
        schedule = self.schedule
        # The noise of the first time step remains, as in the published schedule.
        final = float(schedule.alphas[0]), float(schedule.sigmas[0])
        ddim = ddim_steps(schedule, whole_stride_times(steps, offset=1), final=final)
        table = ddim.t, ddim.c_x.astype(np.float32), ddim.c_x0.astype(np.float32)

        def step(x: jax.Array, row: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
            t, c_x, c_x0 = row
            times = jnp.broadcast_to(t, x.shape[:1])
            x0 = v_to_x0(x, self.predict(params, {}, example, x, times), *self.levels(times))
            return c_x * x + c_x0 * x0, None

        channels = self.vae.shapes["decoder.conv_in.kernel"].shape[-2]
        start = self.draw_noise(key, (*example.low.shape[:-1], channels))
        return jax.lax.scan(step, start, jax.tree.map(jnp.asarray, table))[0]
