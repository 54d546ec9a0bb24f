"""What a training config asks for: an objective, what it trains, and what stays frozen."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from venhancer_jax.diffusion.schedule import cosine_interpolated_schedule
from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import Params
from venhancer_jax.models.remat import REMATS
from venhancer_jax.sharding.mesh import device_mesh, replicated
from venhancer_jax.sharding.params import fsdp_sharding
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
      sources: that network by its name, and those that it works with.
      objective: its loss.
      params: trainable, at the start.
      frozen: everything else.
    """

    name: str
    sources: Mapping[str, Source]
    objective: Objective
    params: Params
    frozen: Frozen

    @property
    def source(self) -> Source:
        """The network that trains."""
        return self.sources[self.name]

    def whole(self, params: Params) -> Params:
        """All parameters of the network, given those that train."""
        return params | dict(self.frozen.get("denoiser", {}))


def task_of(config: ConfigDict, mesh: Mesh | None = None, *, abstract: bool = False) -> Task:
    """The task of a config, with all parameters where they will stay.

    Args:
      config: of `training_config`.
      mesh: devices to train on, by default one. The network that trains is split over `fsdp`,
        frozen parts of it too; the others lie on every device.
      abstract: gives a `jax.ShapeDtypeStruct` for each parameter and allocates nothing; the
        devices need not be there.

    Raises:
      InputError: a wrong value, or weights that are not there.
    """
    _one_of("preset", config.preset, PRESETS)
    _one_of("objective", config.objective, _TASKS)
    _one_of("trainable", config.trainable, ("controlnet", "all"))
    _one_of("remat", config.remat, REMATS)
    mesh = mesh or device_mesh({}, jax.local_devices()[:1])
    return _TASKS[config.objective](config, _Maker(config, mesh, abstract))


@dataclasses.dataclass(frozen=True)
class _Maker:
    """Makes parameters, or tells their shapes, where they lie on the mesh."""

    config: ConfigDict
    mesh: Mesh
    abstract: bool

    def params(self, source: Source, number: int, *, whole: bool) -> Params:
        """Of a network, the `number` of all; on every device, or split over `fsdp`."""
        shapes = source.network.shapes
        shardings = (
            dict.fromkeys(shapes, replicated(self.mesh))
            if whole
            else fsdp_sharding(self.mesh, shapes)
        )
        if self.abstract:
            return _abstract(shapes, shardings)
        key = jax.random.fold_in(jax.random.key(self.config.seed), number)
        return params_of(source, key, shardings)

    def perceptual(self) -> dict[str, Params]:
        """Of the perceptual distance, where the config gives it a weight."""
        if not self.config.loss.perceptual:
            return {}
        params = {name: np.asarray(x) for name, x in perceptual_params().items()}
        sharding = replicated(self.mesh)
        if self.abstract:
            return {"perceptual": _abstract(params, dict.fromkeys(params, sharding))}
        return {"perceptual": jax.device_put(params, sharding)}


def _abstract(shapes: Mapping[str, Any], shardings: Mapping[str, Any]) -> Any:
    return {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=shardings[name])
        for name, x in shapes.items()
    }


def _diffusion(config: ConfigDict, maker: _Maker) -> Task:
    return _enhancer(config, maker, Diffusion)


def _one_step(config: ConfigDict, maker: _Maker) -> Task:
    weight = config.loss
    return _enhancer(
        config,
        maker,
        lambda conditioning: OneStep(
            conditioning,
            start=config.one_step_start,
            latent_weight=weight.latent,
            pixel_weight=weight.pixel,
            perceptual_weight=weight.perceptual,
        ),
        maker.perceptual(),
    )


def _enhancer(
    config: ConfigDict,
    maker: _Maker,
    objective: Callable[[Conditioning], Objective],
    more: dict[str, Params] | None = None,
) -> Task:
    """UNet and ControlNet, with a frozen VAE and text tower."""
    found = sources(config)
    params = {}
    for i, (name, source) in enumerate(found.items()):
        params[name] = maker.params(source, i, whole=name != "venhancer")
    if config.copy_prior and not maker.abstract:  # shapes stay
        params["venhancer"] = copy_prior(params["venhancer"])
    trains, frozen = split(params["venhancer"], config.trainable)
    conditioning = Conditioning(
        found["venhancer"].network,
        found["vae"].network,
        found["text"].network,
        found["vae"].config.scaling_factor,
        cosine_interpolated_schedule(),
    )
    fixed = {"denoiser": frozen, "vae": params["vae"], "text": params["text"]}
    return Task("venhancer", found, objective(conditioning), trains, fixed | (more or {}))


def _autoencoder(config: ConfigDict, maker: _Maker) -> Task:
    source, weight = sources(config)["vae"], config.loss
    objective = Autoencoder(
        source.network,
        pixel_weight=weight.pixel,
        perceptual_weight=weight.perceptual,
        kl_weight=weight.kl,
    )
    params = maker.params(source, 1, whole=False)
    return Task("vae", {"vae": source}, objective, params, maker.perceptual())


_TASKS: dict[str, Callable[[ConfigDict, _Maker], Task]] = {
    "diffusion": _diffusion,
    "one_step": _one_step,
    "autoencoder": _autoencoder,
}


def _one_of(name: str, value: str, allowed: Any) -> None:
    if value not in allowed:
        raise InputError(f"{name} {value!r}: expected one of {', '.join(allowed)}")
