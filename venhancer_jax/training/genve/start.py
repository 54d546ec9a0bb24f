"""The network that a run trains, and where its parameters start."""

import dataclasses
from typing import Literal

from ml_collections import ConfigDict

from venhancer_jax import weights
from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import Params
from venhancer_jax.models.genve.config import FUSIONS, GenVEConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.networks import stored_config
from venhancer_jax.training.tasks import ParamLoader, Source, check_choice, find_source
from venhancer_jax.training.venhancer import start

NAME, CONTAINED = "genve", "venhancer"
_LCA = "lca."
_TRAINED = ("controlnet.", _LCA)


def find_denoiser(config: ConfigDict, **runtime: object) -> Source:
    """Finds the network in its own weight folder, in VEnhancer's, or in a preset.

    Args:
      config: config of `training_config`.
      **runtime: runtime fields of the network's config, such as `dtype`.

    Raises:
      InputError: no weights there, or those of a network with another attention.
    """
    check_choice("reference.fusion", config.reference.fusion, FUSIONS)
    attention = {name: config.reference[name] for name in ("fusion", "neighbours")}
    attention["radius"] = config.reference.radius or None
    if _holds_venhancer(config.prior):
        unet = stored_config(CONTAINED, config.prior, **runtime)
        sizes = GenVEConfig.from_unet(unet, **attention)
    else:
        sizes = find_source(config, NAME, config.prior, **runtime).config
        for name, value in attention.items():
            stored = getattr(sizes, name)
            if config.prior and stored != value:
                raise InputError(
                    f"reference.{name} {value!r}: {config.prior} holds a network with {name}"
                    f" {stored!r}. Set --config.reference.{name}={stored or 0}"
                )
        sizes = dataclasses.replace(sizes, **attention)
    return Source(sizes, catalog.build(NAME, sizes), config.prior)


def starting_params(
    loader: ParamLoader, source: Source, begin: Literal["prior", "published"]
) -> Params:
    """Returns the parameters that a run starts from.

    Those of UNet and ControlNet are VEnhancer's (`training.venhancer.start`). The attention to the
    reference starts fresh, with zero output, unless the folder holds it.

    Args:
      loader: loader of parameters.
      source: network and weight folder.
      begin: `published` takes all weights as stored; `prior` takes the UNet, and starts a
        ControlNet as its copy.

    Raises:
      InputError: missing weights.
    """
    fresh = begin == "prior" or _holds_venhancer(source.folder)
    lca = loader.params(
        source, 0, sharded=True, fresh=fresh, names=lambda name: name.startswith(_LCA)
    )
    return start.starting_params(loader, source, begin, lambda n: not n.startswith(_LCA)) | lca


def split(params: Params, trainable: Literal["controlnet", "all"]) -> tuple[Params, Params]:
    """Splits parameters into those that train and those that are frozen."""
    if trainable == "all":
        return dict(params), {}
    trains = {name: x for name, x in params.items() if name.startswith(_TRAINED)}
    return trains, {name: x for name, x in params.items() if name not in trains}


def _holds_venhancer(folder: str) -> bool:
    """Tells whether a folder holds VEnhancer's network, which has no attention to a reference."""
    if not folder or not weights.is_weights(folder):
        return False
    return weights.read_about(folder).get("network") == CONTAINED
