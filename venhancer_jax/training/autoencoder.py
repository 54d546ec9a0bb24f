"""Objective of the VAE: absolute error, perceptual distance, and a prior on its latents."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.networks import compute_dtype
from venhancer_jax.training.loss import frame_loss
from venhancer_jax.training.objective import Batch, Frozen, Metrics, stream, to_signed
from venhancer_jax.training.tasks import (
    ObjectiveSpec,
    ParamLoader,
    Sample,
    Sampler,
    Source,
    Task,
    find_source,
)

# Number of batches by which the spread of the latents is measured at the end.
_SCALE_BATCHES = 16


@dataclasses.dataclass(frozen=True)
class Autoencoder:
    """L1, LPIPS and KL divergence (Rombach et al. 2022, section 3.1), without a discriminator.

    Attributes:
      vae: network to train.
      pixel_weight: weight of the mean absolute error of frames in [-1, 1].
      perceptual_weight: weight of LPIPS, whose parameters are `frozen["perceptual"]`.
      kl_weight: weight of the divergence from a standard normal, per element of a latent.
    """

    vae: FunctionalModule
    pixel_weight: float = 1.0
    perceptual_weight: float = 0.0
    kl_weight: float = 1e-6

    def loss(
        self, params: Params, frozen: Frozen, batch: Batch, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Computes the weighted sum and its parts; arguments as `Objective.loss` documents."""
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
    """Computes the factor that gives latents a standard deviation of 1.

    Args:
      vae: autoencoder.
      params: parameters of the autoencoder.
      batches: batches whose `video` is measured.
    """
    encode = jax.jit(lambda params, frames: vae.bind(params).encode(to_signed(frames)).mean)
    # In float64: the variance is a difference of large sums.
    latents = [np.asarray(encode(params, batch["video"]), np.float64) for batch in batches]
    return float(1 / np.std(np.concatenate([np.ravel(part) for part in latents])))


def build(config: ConfigDict, loader: ParamLoader) -> Task:
    """Creates the task of training the VAE of a system.

    Args:
      config: config of `training_config`.
      loader: loader of parameters.

    Raises:
      InputError: missing weights, or those of another network.
    """
    source, weight = (
        find_source(config, "vae", config.vae, dtype=compute_dtype(config.dtype)),
        config.loss,
    )
    objective = Autoencoder(
        source.network,
        pixel_weight=weight.pixel,
        perceptual_weight=weight.perceptual,
        kl_weight=weight.kl,
    )

    def make_sampler(
        params: Mapping[str, Params], *, mesh: Mesh, steps: int, interpolation: Any
    ) -> Sampler:
        del steps, interpolation  # one pass, of all frames
        return Reconstruction(source, params["vae"], mesh)

    def finish(sizes: Any, params: Params, batches: Any) -> Any:
        scale = latent_scale(source.network, params, itertools.islice(batches, _SCALE_BATCHES))
        return dataclasses.replace(sizes, scaling_factor=scale)

    return Task(
        name="vae",
        sources={"vae": source},
        objective=objective,
        params=loader.params(source, 1, sharded=True),
        frozen=loader.perceptual(),
        sampler=make_sampler,
        finish=finish,
    )


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """Encodes and decodes the targets of training examples.

    Attributes:
      vae: autoencoder.
      params: parameters of the autoencoder.
      mesh: devices of the parameters, all of which take part.
    """

    vae: Source
    params: Params
    mesh: Mesh

    def __call__(self, example: Mapping[str, np.ndarray]) -> Sample:
        """Reconstructs one example without its batch axis."""
        target = example["video"]
        with jax.set_mesh(self.mesh):
            latents = programs.encode(
                self.vae.network, self.params, to_signed(jnp.asarray(target))[:, None]
            ).mean
            latents = self.vae.config.scaling_factor * jnp.swapaxes(latents, 0, 1)
            frames = programs.decode(self.vae.network, self.params, latents)
            output = np.asarray(programs.to_bytes(frames[0], truncate=False))
        return Sample(target, output, target)


SPEC = ObjectiveSpec(build)
