"""The networks of a training run and their parameters: presets, weight folders, weights to ship."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
from etils import epath
from ml_collections import ConfigDict

from venhancer_jax import weights
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.networks import compute_dtype
from venhancer_jax.pipelines.venhancer.spec import PRESETS
from venhancer_jax.sharding.processes import fetch_to_host
from venhancer_jax.training.fresh import init_sharded_params


@dataclasses.dataclass(frozen=True)
class Source:
    """A network, and where its parameters come from.

    Attributes:
      config: its sizes.
      network: without parameters.
      folder: of its weights, or empty for fresh ones.
    """

    config: Any
    network: FunctionalModule
    folder: str


def sources(config: ConfigDict) -> dict[str, Source]:
    """`venhancer`, `vae` and `text` as a training config names them.

    Raises:
      InputError: weights of another network.
    """
    compute = compute_dtype(config.dtype)
    runtime: dict[str, dict[str, Any]] = {
        "venhancer": {"dtype": compute, "remat": config.remat},
        "vae": {"dtype": compute},
        "text": {},
    }
    folders = {"venhancer": config.prior, "vae": config.vae, "text": config.text}
    found = {}
    for name, folder in folders.items():
        network_config: Any = PRESETS[config.preset][name]
        if folder:
            network_config = catalog.config_from_dict(name, weights.read_about(folder)["config"])
            if isinstance(network_config, ClipTextConfig):
                network_config = network_config.only_used()
        network_config = dataclasses.replace(network_config, **runtime[name])
        kind = "no_text" if isinstance(network_config, NullTextConfig) else name
        found[name] = Source(network_config, catalog.build(kind, network_config), folder)
    return found


def params_of(
    source: Source, key: jax.Array, shardings: Mapping[str, jax.sharding.Sharding]
) -> Params:
    """Float32 parameters, from the folder or fresh, each where its sharding says.

    With several processes all of them have to call this.
    """
    if source.folder:
        return weights.load_weights(source.folder, source.network.shapes, sharding=shardings)
    return init_sharded_params(source.network, key, shardings)


def export(
    folder: epath.PathLike,
    name: str,
    config: catalog.Config,
    params: Mapping[str, jax.Array],
    *,
    dtype: str = "float32",
) -> None:
    """Writes parameters in this type as a weight folder that `sample.py` and `train.py` take.

    The first process writes. With several, all of them have to call this.
    """
    items = ((n, fetch_to_host(x).astype(dtype)) for n, x in sorted(params.items()))
    if jax.process_index():
        for _ in items:  # the others give their share
            pass
        return
    weights.save_weights(folder, items, {"network": name, "config": catalog.config_to_dict(config)})
