"""Samples of validation: GenVE enhances training examples on the mesh of the run."""

from collections.abc import Mapping
from typing import Any

from jax.sharding import Mesh

from venhancer_jax.models.functional import Params
from venhancer_jax.pipelines.genve.options import GenVEOptions
from venhancer_jax.pipelines.genve.system import GenVE
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures
from venhancer_jax.training.tasks import Source
from venhancer_jax.training.venhancer.samples import GUIDANCE, Enhancement


def make_sampler(
    sources: Mapping[str, Source],
    params: Mapping[str, Params],
    *,
    mesh: Mesh,
    steps: int,
    interpolation: Any,
) -> Enhancement:
    """Creates the sampler, which sharpens the middle frame by the prior as users would.

    The optical flow is that of the training examples, DIS.

    Args:
      sources: networks of the task.
      params: parameters of each network, sharded over the mesh; they are neither moved nor copied.
      mesh: devices of the run, all of which take part.
      steps: number of steps of the solver, and the most that sharpen the key frame.
      interpolation: start of frames between key frames; a GenVE clip has none.
    """
    del interpolation
    networks = {
        name: LoadedNetwork(s.config, s.network, params[name]) for name, s in sources.items()
    }
    denoiser, text = networks["genve"], networks["text"]
    system = GenVE(denoiser, networks["vae"], TextFeatures(text.config, lambda: text), mesh=mesh)
    options = GenVEOptions(
        solver="ddim",
        solver_mode="normal",
        steps=steps,
        guidance_scale=GUIDANCE,
        enlargement="bicubic",
        reference="none" if denoiser.config.fusion == "none" else "prior",
        image_steps=min(steps, GenVEOptions().image_steps),
        flow="dis",
    )
    return Enhancement(system, options)
