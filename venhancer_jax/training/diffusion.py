"""The v-prediction objective of latent diffusion."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from venhancer_jax.diffusion.schedule import STEPS
from venhancer_jax.models.functional import Params
from venhancer_jax.training.conditioning import LatentConditioning
from venhancer_jax.training.loss import v_target
from venhancer_jax.training.objective import Batch, Frozen, Metrics, stream

TIME_BUCKETS = 10


@dataclasses.dataclass(frozen=True)
class Diffusion:
    """The v-prediction loss at uniform time steps (Salimans and Ho 2022).

    Sections 3.3 and 3.4 of the VEnhancer paper, equation 1 of the Upscale-A-Video paper.

    Attributes:
      conditioning: networks and noise levels.
    """

    conditioning: LatentConditioning

    def loss(
        self, params: Params, frozen: Frozen, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Computes the mean squared error of v, and it by time: `loss_by_time [10]`.

        `count_by_time [10]` is the number of clips in each tenth of the time steps, by which
        `loss_by_time` is to be divided. Arguments as `Objective.loss` documents.
        """
        example = self.conditioning.example(frozen, batch, key)
        return self.loss_of(params, frozen, example, key)

    def loss_of(
        self, params: Params, frozen: Frozen, example: Any, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Computes loss and metrics of `loss` for a batch that is encoded already.

        Args:
          params: parameters that train.
          frozen: all other parameters, by network.
          example: result of `conditioning.example`.
          key: random key of the step.
        """
        conditioning = self.conditioning
        t = self.draw_times(stream(key, "time"), len(example.clean))
        noised, noise = conditioning.diffuse(example.clean, t, stream(key, "noise"))
        prediction = conditioning.predict(params, frozen, example, noised, t)
        alpha, sigma = conditioning.levels(t)
        target = v_target(example.clean, noise, alpha, sigma)
        by_video = jnp.mean(jnp.square(prediction - target), axis=(1, 2, 3, 4))
        bucket = jax.nn.one_hot(t * TIME_BUCKETS // STEPS, TIME_BUCKETS)
        metrics = {"loss_by_time": by_video @ bucket, "count_by_time": bucket.sum(0)}
        return by_video.mean(), metrics

    def draw_times(self, key: jax.Array, count: int) -> jax.Array:
        """Draws time steps `[count]` from 0 to 999; the replay of recordings overrides it."""
        return jax.random.randint(key, (count,), 0, STEPS)
