"""Published folders with several networks: which there are, and their checkpoints."""

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines import registry


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """A network of a published folder.

    Attributes:
      network: name of the network, such as `vae`.
      paths: paths in the folder: those that its checkpoint may have, in order of preference, then
        that of its weight folder.
      layout: layout of its published checkpoint.
      config: published sizes.
      wrapper: start of all names in the published checkpoint, such as `module.`.
      optional: whether a folder may lack it.
    """

    network: str
    paths: tuple[str, ...]
    layout: str
    config: Any
    wrapper: str = ""
    optional: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """Returns the paths that its checkpoint may have in the folder."""
        return self.paths[:-1]

    @property
    def folder(self) -> str:
        """Returns the name of its weight folder."""
        return self.paths[-1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Release:
    """A published folder.

    Attributes:
      parts: networks.
      settings: paths of small files, which are copied if they exist.
    """

    parts: tuple[Part, ...]
    settings: tuple[str, ...] = ()


def all_releases() -> dict[str, Release]:
    """Returns the published folder of each system that has one, by the name of the system."""
    found = {}
    for spec in registry.all_systems():
        module = importlib.import_module(spec.conversion) if spec.conversion else None
        if release := getattr(module, "RELEASE", None):
            found[spec.name] = release
    return found


def find_parts(release: Release, folder: str | Path) -> Mapping[Part, Path]:
    """Finds the checkpoints of a published folder.

    Args:
      release: what the folder holds.
      folder: path of the folder.

    Returns:
      Checkpoint file of each part that is there.

    Raises:
      InputError: no such folder, or parts that it lacks, all listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    paths = {p: [path for f in p.files if (path := folder / f).is_file()] for p in release.parts}
    missing = [p for p, found in paths.items() if not found and not p.optional]
    if missing:
        wanted = "; ".join(f"{part.network}: {' or '.join(part.files)}" for part in missing)
        raise InputError(f"{folder} lacks {wanted}. Copy or download the whole folder")
    return {part: found[0] for part, found in paths.items() if found}
