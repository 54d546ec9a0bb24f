"""Layouts and published checkpoints of all networks: the shared ones, then those of each system."""

from collections.abc import Collection

from venhancer_jax.convert import clip, raft, vae
from venhancer_jax.convert.constants import Constant
from venhancer_jax.convert.hub import HubFile
from venhancer_jax.convert.rules import Entry, Layouts, constants, entries
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines import catalog, registry


def all_layouts() -> dict[str, Layouts]:
    """Returns the checkpoint layouts of every network that can be converted, by network."""
    shared = vae.LAYOUTS | clip.LAYOUTS | raft.LAYOUTS
    return shared | registry.merged("conversion", "LAYOUTS")


def all_published() -> dict[str, HubFile]:
    """Returns the published checkpoints by their short names, such as `openclip`."""
    shared = vae.PUBLISHED | clip.PUBLISHED
    return shared | registry.merged("conversion", "PUBLISHED")


def layout_entries(network: str, config: catalog.Config, layout: str) -> list[Entry]:
    """Lists which tensors of a checkpoint become which parameters of a network.

    Args:
      network: name of the network, a key of `all_layouts`.
      config: config of the network, whose sizes the tensors have.
      layout: name of one of the network's layouts.
    """
    shapes = {n: leaf.shape for n, leaf in catalog.build(network, config).shapes.items()}
    return entries(all_layouts()[network].tables[layout](config), shapes)


def most_alike(names: Collection[str]) -> str:
    """Returns the network that most tensors of a checkpoint are named after.

    Args:
      names: names of all tensors of the checkpoint.

    Returns:
      Name of the network; empty if no network has most of the names.
    """
    layers = {name.rpartition(".")[0] for name in names}
    shared = {}
    for network, layouts in all_layouts().items():
        published = catalog.config_class(network)()
        try:
            config, layout = layouts.detect(published, names)
        except InputError:
            continue
        rules = layouts.tables[layout](config).values()
        known = {name for rule in rules for name in getattr(rule, "names", ())}
        # Of networks that have as many of the names, the one whose sizes need no change.
        shared[network] = len(layers & known), config == published
    best = max(shared, key=lambda network: shared[network])
    return best if 2 * shared[best][0] > len(layers) else ""


def layout_constants(network: str, config: catalog.Config, layout: str) -> dict[str, Constant]:
    """Returns the constants of a checkpoint by their names in it.

    Args:
      network: name of the network, a key of `all_layouts`.
      config: config of the network.
      layout: name of one of the network's layouts.
    """
    return constants(all_layouts()[network].tables[layout](config))
