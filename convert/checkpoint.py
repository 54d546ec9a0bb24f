"""Whole checkpoints, both ways: PyTorch files to weight folders and back."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from venhancer_jax import weights
from venhancer_jax.convert.constants import read_constants, write_constants
from venhancer_jax.convert.layouts import (
    all_layouts,
    layout_constants,
    layout_entries,
    most_alike,
)
from venhancer_jax.convert.read import StateDict, open_state_dict
from venhancer_jax.convert.rules import Entry, check
from venhancer_jax.errors import InputError
from venhancer_jax.files import atomic_file
from venhancer_jax.pipelines import catalog

# Start of all names of a network that PyTorch trained on several devices.
WRAPPER = "module."


def convert(
    network: str,
    source: str | Path,
    folder: str | Path,
    *,
    config: catalog.Config | None = None,
    dtype: str | None = None,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Converts a PyTorch or safetensors checkpoint to a weight folder.

    Tensors are converted one by one: the memory in use is a few gibibytes for any checkpoint.

    Args:
      network: name of the network, such as `vae` or `text`.
      source: checkpoint file.
      folder: weight folder to write, which appears whole or not at all.
      config: config of the network, by default with the published sizes.
      dtype: type of the weights, by default the type of each tensor.
      about: JSON values to store with the weights besides network, config, layout and source.

    Raises:
      InputError: no such checkpoint, or one that does not fit the network.
    """
    layouts = all_layouts()[network]
    whole = open_state_dict(source)
    # Names of a network that was saved inside a data-parallel wrapper.
    wrapper = WRAPPER if all(name.startswith(WRAPPER) for name in whole) else ""
    tensors = whole.part(wrapper).part(layouts.prefix)
    requested = config or catalog.config_class(network)()
    try:
        layouts.refuse(requested, tensors.shapes)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    try:
        stored, layout = layouts.detect(requested, tensors)
        entries = layout_entries(network, stored, layout)
        constants = layout_constants(network, stored, layout)
        check(entries, tensors.shapes, ignored=layouts.ignored, constants=constants)
        found = read_constants(constants, tensors)
    except InputError as error:
        other = most_alike(tensors)
        if other not in ("", network):
            error = f"it looks like a checkpoint of {other!r}, expected one of {network!r}; {error}"
        raise InputError(f"{source}: {error}") from None
    stored = layouts.beside(stored, Path(source))
    stored_about = dict(about or {}) | {
        "network": network,
        "config": catalog.config_to_dict(stored),
        "layout": layout,
        "source": Path(source).name,
    }
    if constants:
        stored_about["constants"] = found
    if wrapper:
        stored_about["wrapper"] = wrapper
    weights.save_weights(folder, _converted(entries, tensors, dtype), stored_about)


def convert_back(folder: str | Path, target: str | Path, *, layout: str | None = None) -> None:
    """Writes a weight folder as a PyTorch (`.pt`) or safetensors checkpoint.

    Args:
      folder: weight folder.
      target: file to write, in place of an older one.
      layout: name of a layout of the network, by default the one of the converted checkpoint, or
        the only one of the network.

    Raises:
      InputError: not a weight folder, or an unknown layout or suffix.
    """
    target = Path(target)
    if not weights.is_weights(folder):
        raise InputError(f"{folder} holds no converted weights")
    about = weights.read_about(folder)
    network = about["network"]
    tables = all_layouts()[network].tables
    layout = layout or about.get("layout") or (next(iter(tables)) if len(tables) == 1 else "")
    if not layout:
        raise InputError(
            f"{folder}: trained weights, which came in no layout: set --layout to one of"
            f" {', '.join(tables)}"
        )
    if layout not in tables:
        raise InputError(f"layout {layout!r}: expected one of {', '.join(tables)}")
    if target.suffix not in (".pt", ".pth", ".ckpt", ".bin", ".safetensors"):
        raise InputError(f"{target}: expected a name that ends in .pt or .safetensors")
    config = catalog.config_from_dict(network, about["config"])
    by_name = {entry.ours: entry for entry in layout_entries(network, config, layout)}
    tensors: dict[str, np.ndarray] = {}
    for name, parameter in weights.iterate_weights(folder):
        if name in by_name:
            tensors |= by_name[name].write(parameter)
    constants = layout_constants(network, config, layout)
    # The constants of the converted checkpoint, which another layout may name otherwise.
    kept = about.get("constants") if layout == about.get("layout") else None
    dtype = next(iter(tensors.values())).dtype
    tensors |= write_constants(constants, kept, dtype)
    if wrapper := about.get("wrapper"):
        tensors = {f"{wrapper}{name}": tensor for name, tensor in tensors.items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(target) as partial:
        _save(tensors, Path(partial), target.suffix)


def _converted(
    entries: list[Entry], tensors: StateDict, dtype: str | None
) -> Iterator[tuple[str, np.ndarray]]:
    for entry in entries:
        parameter = entry.read(tensors)
        if not jnp.issubdtype(parameter.dtype, jnp.floating):
            raise InputError(
                f"{tensors.path}: tensor {entry.theirs[0]} has the type {parameter.dtype}, expected"
                " a floating-point type"
            )
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
