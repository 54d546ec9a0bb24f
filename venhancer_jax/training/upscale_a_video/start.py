"""Where a run starts, and which parameters train: the layers that an image network lacks."""

import dataclasses
from collections.abc import Set
from typing import Literal

from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import Params
from venhancer_jax.pipelines import catalog
from venhancer_jax.training.tasks import ParamLoader, Source


def added_names(kind: str, source: Source, **image_sizes: object) -> Set[str]:
    """Returns the names of the parameters that a network has beyond an image network.

    Args:
      kind: name of the network.
      source: network with its config.
      **image_sizes: sizes that make it the image network, such as `temporal=False`.
    """
    image = catalog.build(kind, dataclasses.replace(source.config, **image_sizes))
    return source.network.shapes.keys() - image.shapes.keys()


def starting_params(
    loader: ParamLoader,
    source: Source,
    number: int,
    added: Set[str],
    start: Literal["prior", "published"],
) -> Params:
    """Returns the parameters that a run starts from.

    Args:
      loader: loader of parameters.
      source: network and weight folder; for `prior` the folder may hold an image network.
      number: index of the network, by which fresh parameters of networks differ.
      added: names of the layers that an image network lacks.
      start: `published` takes all weights as stored; `prior` takes those of the image network and
        fresh added layers, whose temporal attentions, temporal modules and 3-D convolutions start
        at zero output.

    Raises:
      InputError: missing weights.
    """
    if start == "published":
        try:
            return loader.params(source, number, sharded=True)
        except InputError as error:
            hint = "config.start=prior starts from an image network"
            raise InputError(f"{error}. {hint}") from None
    image = loader.params(source, number, sharded=True, names=lambda n: n not in added)
    fresh = loader.params(
        source, number, sharded=True, fresh=True, names=lambda name: name in added
    )
    return image | fresh


def split(
    params: Params, added: Set[str], trainable: Literal["added", "all"]
) -> tuple[Params, Params]:
    """Splits parameters into those that train and those that are frozen.

    Args:
      params: all parameters of a network.
      added: names of the layers that an image network lacks.
      trainable: which parameters train.
    """
    trains = {n: x for n, x in params.items() if trainable == "all" or n in added}
    return trains, {n: x for n, x in params.items() if n not in trains}
