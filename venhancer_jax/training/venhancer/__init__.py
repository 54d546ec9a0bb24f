"""Training of VEnhancer: its objectives, registered by `(system, name)`."""

import functools
from collections.abc import Callable

from ml_collections import ConfigDict

from venhancer_jax.diffusion.schedule import cosine_interpolated_schedule
from venhancer_jax.models.functional import Params
from venhancer_jax.pipelines.networks import compute_dtype
from venhancer_jax.training import autoencoder
from venhancer_jax.training.diffusion import Diffusion
from venhancer_jax.training.objective import Objective
from venhancer_jax.training.tasks import (
    ObjectiveSpec,
    ParamLoader,
    Source,
    Task,
    check_choice,
    find_source,
)
from venhancer_jax.training.venhancer.conditioning import Conditioning
from venhancer_jax.training.venhancer.objectives import OneStep
from venhancer_jax.training.venhancer.samples import make_sampler
from venhancer_jax.training.venhancer.start import split, starting_params

SYSTEM = "venhancer"


def _diffusion(config: ConfigDict, loader: ParamLoader) -> Task:
    return _task(config, loader, Diffusion, {})


def _one_step(config: ConfigDict, loader: ParamLoader) -> Task:
    weight = config.loss
    objective = functools.partial(
        OneStep,
        start=config.one_step_start,
        latent_weight=weight.latent,
        pixel_weight=weight.pixel,
        perceptual_weight=weight.perceptual,
    )
    return _task(config, loader, objective, loader.perceptual())


def _task(
    config: ConfigDict,
    loader: ParamLoader,
    objective_of: Callable[[Conditioning], Objective],
    perceptual: dict[str, Params],
) -> Task:
    """Creates the task of training UNet and ControlNet, with a frozen VAE and text encoder."""
    check_choice("trainable", config.trainable, ("controlnet", "all"))
    sources = _sources(config)
    params = starting_params(loader, sources["venhancer"], config.start)
    trains, rest = split(params, config.trainable)
    frozen = {
        name: loader.params(source, number, sharded=False)
        for number, (name, source) in enumerate(sources.items())
        if name != "venhancer"
    }
    conditioning = Conditioning(
        sources["venhancer"].network,
        sources["vae"].network,
        sources["text"].network,
        sources["vae"].config.scaling_factor,
        cosine_interpolated_schedule(),
    )
    objective = objective_of(conditioning)
    return Task(
        name="venhancer",
        sources=sources,
        objective=objective,
        params=trains,
        frozen={"denoiser": rest, **frozen, **perceptual},
        sampler=functools.partial(make_sampler, sources, objective),
        encode=conditioning.encode_clips,
    )


def _sources(config: ConfigDict) -> dict[str, Source]:
    compute = compute_dtype(config.dtype)
    return {
        "venhancer": find_source(
            config, "venhancer", config.prior, dtype=compute, remat=config.remat
        ),
        "vae": find_source(config, "vae", config.vae, dtype=compute),
        "text": find_source(config, "text", config.text),
    }


OBJECTIVES = {
    (SYSTEM, "diffusion"): ObjectiveSpec(_diffusion, lambda config: False),
    (SYSTEM, "one_step"): ObjectiveSpec(
        _one_step, lambda config: bool(config.loss.pixel or config.loss.perceptual)
    ),
    (SYSTEM, "autoencoder"): autoencoder.SPEC,
}
