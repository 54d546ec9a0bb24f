"""Where a run starts, and which parameters train."""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp

from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import Params
from venhancer_jax.training.tasks import ParamLoader, Source

_UNET, _CONTROLNET, _COPIED = "unet.", "controlnet.", "controlnet.encoder."


def starting_params(
    loader: ParamLoader,
    source: Source,
    start: Literal["prior", "published"],
    names: Callable[[str], bool] = lambda name: True,
) -> Params:
    """Returns the parameters of UNet and ControlNet that a run starts from.

    Args:
      loader: loader of parameters.
      source: network and weight folder; for `prior` the folder may hold the UNet only.
      start: `published` takes all weights as stored; `prior` takes the UNet, whose encoder the
        ControlNet copies, and starts the other layers of the ControlNet at zero output, so that
        the network answers as the UNet alone (VEnhancer paper, section 3.2).
      names: tells which of the stored parameters are UNet and ControlNet; by default all.

    Raises:
      InputError: missing weights.
    """
    if start == "published":
        try:
            return loader.params(source, 0, sharded=True, names=names)
        except InputError as error:
            raise InputError(f"{error}. config.start=prior starts from a UNet alone") from None
    prior = loader.params(source, 0, sharded=True, names=lambda n: n.startswith(_UNET))
    new = loader.params(
        source,
        0,
        sharded=True,
        fresh=True,
        names=lambda n: n.startswith(_CONTROLNET) and not n.startswith(_COPIED),
    )
    return prior | new | copied_encoder(source, prior, abstract=loader.abstract)


def copied_encoder(source: Source, prior: Params, *, abstract: bool = False) -> Params:
    """Copies the UNet's encoder and middle block for the ControlNet.

    Args:
      source: network with the names of all parameters.
      prior: parameters of the UNet.
      abstract: whether they are shapes.
    """
    names = [name for name in source.network.shapes if name.startswith(_COPIED)]
    originals = {name: prior[name.replace(_CONTROLNET, _UNET, 1)] for name in names}
    return {name: x if abstract else jnp.array(x) for name, x in originals.items()}


def split(params: Params, trainable: Literal["controlnet", "all"]) -> tuple[Params, Params]:
    """Splits parameters into those that train and those that are frozen."""
    if trainable == "all":
        return dict(params), {}
    trains = {n: x for n, x in params.items() if n.startswith(_CONTROLNET)}
    return trains, {n: x for n, x in params.items() if n not in trains}
