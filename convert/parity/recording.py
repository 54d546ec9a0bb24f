"""Files of recorded activations.

A recording is a safetensors file whose metadata has one key, `info`: a JSON object with `kind`,
`name`, and the values of its kind (docs/parity.md). Tables of integers are JSON files, which are
recognized by their keys.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from venhancer_jax.convert.constants import Constant
from venhancer_jax.convert.parity import recipe
from venhancer_jax.convert.read import open_state_dict
from venhancer_jax.convert.rules import Entry, from_torch
from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import Params
from venhancer_jax.pipelines import registry

DEFAULT_SYSTEM = next(iter(registry.SYSTEMS))


@dataclasses.dataclass(frozen=True)
class Recording:
    """Recorded tensors and metadata.

    Attributes:
      path: path of the file.
      info: metadata: `system`, `kind`, `name` and more; `table` is the content of a JSON file.
      tensors: recorded tensors by name.
      checkpoint: checkpoint file for recordings without weights.
    """

    path: Path
    info: Mapping[str, Any]
    tensors: Mapping[str, np.ndarray]
    checkpoint: str | None = None

    @property
    def system(self) -> str:
        """Returns the name of the recorded system, by default the first registered one."""
        return self.info.get("system", DEFAULT_SYSTEM)

    @property
    def kind(self) -> str:
        """Returns the kind of what was recorded."""
        return self.info["kind"]

    @property
    def name(self) -> str:
        """Returns the name of the recording."""
        return self.info.get("name", self.path.stem)

    def companion(self, suffix: str = ".json") -> dict[str, Any]:
        """Reads the JSON file beside the recording.

        Args:
          suffix: suffix in place of the recording's.

        Raises:
          InputError: no such file.
        """
        path = self.path.with_name(self.path.stem + suffix)
        if not path.is_file():
            raise InputError(f"{self.path} needs {path.name} beside it")
        return json.loads(path.read_text())

    def params(
        self,
        entries: list[Entry],
        constants: Mapping[str, Constant] | None = None,
        *,
        prefix: str | None = None,
    ) -> Params:
        """Returns our parameters of the recorded network.

        They are generated from their names (`weights` is `name-seeded`), stored in the recording
        (`stored`), or read from the checkpoint.

        Args:
          entries: tensors of each parameter.
          constants: constants that stored weights may hold, by name.
          prefix: start of the names of the tensors, by default that of the recording.

        Raises:
          InputError: the recording needs a checkpoint and has none.
        """
        weights = self.info.get("weights", "name-seeded")
        prefix = str(self.info.get("prefix", "")) if prefix is None else prefix
        if weights.startswith("name-seeded"):
            return recipe.params(entries, prefix, registry.merged("parity", "RECIPES")[self.system])
        if weights == "stored":
            stored = {
                name.removeprefix("weight."): tensor
                for name, tensor in self.tensors.items()
                if name.startswith("weight.")
            }
            converted = from_torch(entries, stored, constants=constants)
            return {n: jnp.asarray(x) for n, x in converted.items()}
        if self.checkpoint is None:
            raise InputError(f"{self.path} was recorded with {weights}: give --checkpoint=FILE")
        tensors = open_state_dict(self.checkpoint)
        tensors = tensors.part(prefix) if prefix else tensors
        return {e.ours: jnp.asarray(e.read(tensors)) for e in entries}


def find(paths: list[str], checkpoint: str | None = None) -> list[Recording]:
    """Opens recordings.

    Args:
      paths: recordings, and folders of them, whose subfolders are not searched.
      checkpoint: checkpoint file for recordings without weights.

    Raises:
      InputError: no such file, or not a recording.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            files += sorted(p for p in path.iterdir() if p.suffix in (".safetensors", ".json"))
        elif path.is_file():
            files.append(path)
        else:
            raise InputError(f"{path}: no such recording")
    recordings = [_open(path, checkpoint) for path in files]
    recordings = [r for r in recordings if r.kind != "companion"]
    if not recordings:
        raise InputError(f"no recordings (.safetensors, .json) in {', '.join(paths)}")
    return recordings


def _open(path: Path, checkpoint: str | None) -> Recording:
    if path.suffix == ".json":
        return _open_json(path)
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        info = json.loads(metadata["info"])
        info["kind"]
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path} is no recording ({type(error).__name__}: {error})") from None
    return Recording(path, info, tensors, checkpoint)


def _open_json(path: Path) -> Recording:
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error})") from None
    content = content if isinstance(content, dict) else {}
    inner = (value for value in content.values() if isinstance(value, dict))
    keys = {*content, *(key for value in inner for key in value)}
    tables = registry.merged("parity", "TABLES")
    unknown = (DEFAULT_SYSTEM, "unknown table")
    system, kind = next((tables[key] for key in tables if key in keys), unknown)
    return Recording(path, {"system": system, "kind": kind, "table": content}, {})


def channels_last(tensor: np.ndarray, axis: int = 1) -> np.ndarray:
    """Moves the channels of a PyTorch tensor to the last axis.

    Args:
      tensor: tensor of any rank.
      axis: position of the channels.
    """
    return np.moveaxis(tensor, axis, -1)
