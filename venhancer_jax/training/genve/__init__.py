"""Training of GenVE: its objectives, registered by `(system, name)`."""

import functools

from ml_collections import ConfigDict

from venhancer_jax.diffusion.schedule import cosine_interpolated_schedule
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.networks import compute_dtype
from venhancer_jax.training.diffusion import Diffusion
from venhancer_jax.training.genve.conditioning import Conditioning
from venhancer_jax.training.genve.samples import make_sampler
from venhancer_jax.training.genve.start import find_denoiser, split, starting_params
from venhancer_jax.training.tasks import (
    ObjectiveSpec,
    ParamLoader,
    Task,
    check_choice,
    find_source,
)

SYSTEM = "genve"
# Index of each network, by which fresh parameters differ.
_NUMBERS = {SYSTEM: 0, "vae": 1, "text": 2}


def _diffusion(config: ConfigDict, loader: ParamLoader) -> Task:
    """Creates the task of training ControlNet and LCA, with a frozen UNet, VAE and text encoder."""
    check_choice("trainable", config.trainable, ("controlnet", "all"))
    _check(config)
    compute = compute_dtype(config.dtype)
    sources = {
        SYSTEM: find_denoiser(config, dtype=compute, remat=config.remat),
        "vae": find_source(config, "vae", config.vae, dtype=compute),
        "text": find_source(config, "text", config.text),
    }
    params = starting_params(loader, sources[SYSTEM], config.start)
    trains, rest = split(params, config.trainable)
    frozen = {
        name: loader.params(sources[name], _NUMBERS[name], sharded=False)
        for name in ("vae", "text")
    }
    reference = config.reference
    conditioning = Conditioning(
        sources[SYSTEM].network,
        sources["vae"].network,
        sources["text"].network,
        sources["vae"].config.scaling_factor,
        cosine_interpolated_schedule(),
        sizes=sources[SYSTEM].config,
        noise=reference.noise,
        temporal=reference.temporal,
        mask=reference.mask,
        dropout=reference.dropout,
    )
    return Task(
        name=SYSTEM,
        sources=sources,
        objective=Diffusion(conditioning),
        params=trains,
        frozen={"denoiser": rest, **frozen},
        sampler=functools.partial(make_sampler, sources),
        encode=conditioning.encode_clips,
    )


def _check(config: ConfigDict) -> None:
    """Checks the settings of the reference.

    Raises:
      InputError: a share outside 0 to 1, or clips with frames between key frames.
    """
    for name in ("mask", "dropout"):
        if not 0 <= config.reference[name] <= 1:
            raise InputError(
                f"reference.{name} {config.reference[name]}: expected a share from 0 to 1"
            )
    if tuple(config.augment.strides) != (1,):
        raise InputError(
            f"augment.strides {tuple(config.augment.strides)}: expected (1,), every frame"
        )


def _pixels_of_flow(config: ConfigDict) -> int:
    """Returns the pixels of a latent, at whose size flows are, along either axis."""
    return find_source(config, "vae", config.vae).config.pixels_per_latent


OBJECTIVES = {
    (SYSTEM, "diffusion"): ObjectiveSpec(
        _diffusion, lambda config: False, pixels_of_flow=_pixels_of_flow
    ),
}
