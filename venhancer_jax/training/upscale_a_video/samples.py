"""Samples of validation: training examples, upscaled on the mesh of the run."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from venhancer_jax.data.resample import resample, to_uint8
from venhancer_jax.models.functional import Params
from venhancer_jax.pipelines import programs
from venhancer_jax.sharding.params import all_gathered, batch_sharding
from venhancer_jax.training.objective import Batch
from venhancer_jax.training.step import make_global_batch
from venhancer_jax.training.tasks import Sample

# Computes frames `[B, F, H, W, 3]` in [-1, 1] from the parameters of each network and a batch.
Upscale = Callable[[Mapping[str, Params], Batch, jax.Array, int], jax.Array]


class MakeUpscaling:
    """Creates samplers that share their compiled program."""

    def __init__(self, upscale: Upscale):
        """Wraps a function `(parameters by network, batch, key, steps) -> frames`."""

        def gathered(
            params: Mapping[str, Params], batch: Batch, key: jax.Array, steps: int
        ) -> jax.Array:
            return upscale(all_gathered(params), batch, key, steps)[0]

        self._upscale = jax.jit(gathered, static_argnums=3)

    def __call__(
        self, params: Mapping[str, Params], *, mesh: Mesh, steps: int, interpolation: Any
    ) -> "Upscaling":
        """Creates a sampler; arguments as `MakeSampler` documents."""
        del interpolation  # every frame is a key frame
        return Upscaling(self._upscale, params, mesh, steps)


@dataclasses.dataclass(frozen=True)
class Upscaling:
    """Upscales training examples.

    Attributes:
      upscale: compiled function of `Upscale`, which returns the first clip of the batch.
      params: parameters of each network, sharded over the mesh.
      mesh: devices of the run, all of which take part.
      steps: number of network calls that sample latents.
    """

    upscale: Upscale
    params: Mapping[str, Params]
    mesh: Mesh
    steps: int

    def __call__(self, example: Mapping[str, np.ndarray]) -> Sample:
        """Upscales one example without its batch axis."""
        target, low = example["video"], example["low"]
        # Every device upscales the example: a single one cannot be split over them.
        sharding = batch_sharding(self.mesh)
        copies = self.mesh.shape["data"] * self.mesh.shape["fsdp"] // jax.process_count()
        batch = {n: np.repeat(np.asarray(x)[None], copies, axis=0) for n, x in example.items()}
        with jax.set_mesh(self.mesh):
            batch = make_global_batch(batch, sharding)
            frames = self.upscale(self.params, batch, jax.random.key(0), self.steps)
            output = np.asarray(programs.to_bytes(frames, truncate=False))
        size = (int(target.shape[1]), int(target.shape[2]))
        return Sample(to_uint8(resample(low.astype(np.float32), size)), output, target)
