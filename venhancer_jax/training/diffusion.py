"""The paper's objective: predict v of a noised clip, given its low-quality key frames."""

import dataclasses

import jax
import jax.numpy as jnp

from venhancer_jax.diffusion.schedule import STEPS
from venhancer_jax.models.functional import Params
from venhancer_jax.training.conditioning import Conditioning
from venhancer_jax.training.loss import v_target
from venhancer_jax.training.objective import Batch, Frozen, Metrics, stream

TIME_BUCKETS = 10


@dataclasses.dataclass(frozen=True)
class Diffusion:
    """The v-prediction loss of the controlled UNet (VEnhancer paper, sections 3.3 and 3.4)."""

    conditioning: Conditioning

    def loss(
        self, params: Params, frozen: Frozen, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Mean squared error of v, and `loss_by_time [10]`, `count_by_time [10]`."""
        conditioning = self.conditioning
        example = conditioning.example(frozen, batch, key)
        t = jax.random.randint(stream(key, "time"), example.clean.shape[:1], 0, STEPS)
        noised, noise = conditioning.diffuse(example.clean, t, stream(key, "noise"))
        prediction = conditioning.predict(params, frozen, example, noised, t)
        alpha, sigma = conditioning.levels(t)
        target = v_target(example.clean, noise, alpha, sigma)
        by_video = jnp.mean(jnp.square(prediction - target), axis=(1, 2, 3, 4))
        bucket = jax.nn.one_hot(t * TIME_BUCKETS // STEPS, TIME_BUCKETS)
        metrics = {"loss_by_time": by_video @ bucket, "count_by_time": bucket.sum(0)}
        return by_video.mean(), metrics
