"""Whole checkpoints, both ways: PyTorch files to weight folders and back."""

import os
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from venhancer_jax import weights
from venhancer_jax.convert.layouts import LAYOUTS, layout_entries
from venhancer_jax.convert.read import StateDict, open_state_dict
from venhancer_jax.convert.rules import Entry, check
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines import catalog


def convert(
    network: str,
    source: str | Path,
    folder: str | Path,
    *,
    config: catalog.Config | None = None,
    dtype: str | None = None,
) -> None:
    """Converts a PyTorch or safetensors checkpoint to a weight folder.

    One tensor after the other: the memory taken is a few gibibytes whatever the checkpoint has.

    Args:
      network: `venhancer`, `vae` or `text`.
      source: the checkpoint.
      folder: where the weights appear, whole or not at all.
      config: sizes, by default the published ones.
      dtype: of the weights, by default that of the checkpoint.

    Raises:
      InputError: no such checkpoint, or one that does not fit the network.
    """
    layouts = LAYOUTS[network]
    tensors = open_state_dict(source).part(layouts.prefix)
    stored, layout = layouts.detect(config or catalog.config_class(network)(), tensors)
    entries = layout_entries(network, stored, layout)
    try:
        check(entries, tensors.shapes, ignored=layouts.ignored)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    about = {
        "network": network,
        "config": catalog.config_to_dict(stored),
        "layout": layout,
        "source": Path(source).name,
    }
    weights.save_weights(folder, _converted(entries, tensors, dtype), about)


def convert_back(folder: str | Path, target: str | Path, *, layout: str | None = None) -> None:
    """Writes a weight folder as a PyTorch (`.pt`) or safetensors checkpoint.

    Args:
      folder: of weights.
      target: file to write.
      layout: one that the network comes in, by default the one it came from.

    Raises:
      InputError: no weights, or unknown layout or suffix.
    """
    target = Path(target)
    if not weights.is_weights(folder):
        raise InputError(f"{folder} holds no converted weights")
    about = weights.read_about(folder)
    network = about["network"]
    tables = LAYOUTS[network].tables
    layout = layout or str(about["layout"])
    if layout not in tables:
        raise InputError(f"layout {layout!r}: expected one of {', '.join(tables)}")
    if target.suffix not in (".pt", ".ckpt", ".bin", ".safetensors"):
        raise InputError(f"{target}: expected a name that ends in .pt or .safetensors")
    config = catalog.config_from_dict(network, about["config"])
    by_name = {entry.ours: entry for entry in layout_entries(network, config, layout)}
    tensors: dict[str, np.ndarray] = {}
    for name, parameter in weights.iterate_weights(folder):
        if name in by_name:
            entry = by_name[name]
            tensors |= dict(zip(entry.theirs, entry.to_torch(parameter), strict=True))
    partial = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _save(tensors, partial, target.suffix)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _converted(
    entries: list[Entry], tensors: StateDict, dtype: str | None
) -> Iterator[tuple[str, np.ndarray]]:
    for entry in entries:
        parameter = entry.from_torch([tensors[name] for name in entry.theirs])
        yield entry.ours, parameter if dtype is None else parameter.astype(jnp.dtype(dtype))


def _save(tensors: dict[str, np.ndarray], path: Path, suffix: str) -> None:
    if suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file(tensors, path)
        return
    import torch

    def to_torch(array: np.ndarray) -> torch.Tensor:
        array = np.require(array, requirements=["C", "W"])
        if array.dtype == jnp.bfloat16:
            return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(array)

    torch.save({name: to_torch(x) for name, x in tensors.items()}, path)
