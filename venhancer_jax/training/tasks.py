"""What a training config asks for: an objective, what it trains, and what stays frozen."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from ml_collections import ConfigDict

from venhancer_jax.diffusion.schedule import venhancer_schedule
from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import Params
from venhancer_jax.models.remat import REMATS
from venhancer_jax.training.autoencoder import Autoencoder
from venhancer_jax.training.conditioning import Conditioning
from venhancer_jax.training.diffusion import Diffusion
from venhancer_jax.training.networks import PRESETS, Source, params_of, sources
from venhancer_jax.training.objective import Frozen, Objective
from venhancer_jax.training.one_step import OneStep
from venhancer_jax.training.perceptual import perceptual_params
from venhancer_jax.training.state import copy_prior, split


@dataclasses.dataclass(frozen=True)
class Task:
    """What a run trains.

    Attributes:
      name: of the network that trains, as weight folders call it.
      source: that network.
      objective: its loss.
      params: trainable, at the start.
      frozen: everything else.
    """

    name: str
    source: Source
    objective: Objective
    params: Params
    frozen: Frozen

    def whole(self, params: Params) -> Params:
        """All parameters of the network, given those that train."""
        return params | dict(self.frozen.get("denoiser", {}))


def task_of(config: ConfigDict) -> Task:
    """The task of a config, on one device.

    Raises:
      InputError: a wrong value, or weights that are not there.
    """
    _one_of("preset", config.preset, PRESETS)
    _one_of("objective", config.objective, _TASKS)
    _one_of("trainable", config.trainable, ("controlnet", "all"))
    _one_of("remat", config.remat, REMATS)
    return _TASKS[config.objective](config)


def _diffusion(config: ConfigDict) -> Task:
    return _enhancer(config, Diffusion)


def _one_step(config: ConfigDict) -> Task:
    weight = config.loss
    return _enhancer(
        config,
        lambda conditioning: OneStep(
            conditioning,
            start=config.one_step_start,
            latent_weight=weight.latent,
            pixel_weight=weight.pixel,
            perceptual_weight=weight.perceptual,
        ),
        _perceptual(config),
    )


def _enhancer(
    config: ConfigDict,
    objective: Callable[[Conditioning], Objective],
    more: dict[str, Params] | None = None,
) -> Task:
    """UNet and ControlNet, with a frozen VAE and text tower."""
    found = sources(config)
    params = {name: _params(config, source, i) for i, (name, source) in enumerate(found.items())}
    if config.copy_prior:
        params["venhancer"] = copy_prior(params["venhancer"])
    trains, frozen = split(params["venhancer"], config.trainable)
    conditioning = Conditioning(
        found["venhancer"].network,
        found["vae"].network,
        found["text"].network,
        found["vae"].config.scaling_factor,
        venhancer_schedule(),
    )
    fixed = {"denoiser": frozen, "vae": params["vae"], "text": params["text"]}
    return Task(
        "venhancer", found["venhancer"], objective(conditioning), trains, fixed | (more or {})
    )


def _autoencoder(config: ConfigDict) -> Task:
    source, weight = sources(config)["vae"], config.loss
    objective = Autoencoder(
        source.network,
        pixel_weight=weight.pixel,
        perceptual_weight=weight.perceptual,
        kl_weight=weight.kl,
    )
    return Task("vae", source, objective, _params(config, source, 1), _perceptual(config))


_TASKS: dict[str, Callable[[ConfigDict], Task]] = {
    "diffusion": _diffusion,
    "one_step": _one_step,
    "autoencoder": _autoencoder,
}


def _perceptual(config: ConfigDict) -> dict[str, Params]:
    return {"perceptual": perceptual_params()} if config.loss.perceptual else {}


def _params(config: ConfigDict, source: Source, number: int) -> Params:
    return params_of(source, jax.random.fold_in(jax.random.key(config.seed), number))


def _one_of(name: str, value: str, allowed: Any) -> None:
    if value not in allowed:
        raise InputError(f"{name} {value!r}: expected one of {', '.join(allowed)}")
