"""Parameters of a network on disk: Orbax, in groups that bound the memory of writing and reading.

  FOLDER/weights.json    network, config and origin, and the names of the parameters of each group
  FOLDER/groups/0000     Orbax checkpoint of at most a gibibyte, a flat dictionary by name

Orbax holds a checkpoint twice in memory while it writes; the full network has 7.6 GiB.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from venhancer_jax.errors import InputError
from venhancer_jax.files import atomic_folder, lock_for
from venhancer_jax.models.functional import Params

INDEX = "weights.json"
GROUP_BYTES = 2**30
_COPY = "Copy, download or convert the weights again"


def save_weights(
    folder: epath.PathLike, items: Iterable[tuple[str, np.ndarray]], about: Mapping[str, Any]
) -> None:
    """Writes parameters one by one; the folder appears whole or not at all.

    In a run of several processes, one process calls this alone. Processes of one machine that write
    one folder wait for each other.

    Args:
      folder: local or remote folder; older weights in it are replaced.
      items: names and arrays of the parameters, consumed as they are written.
      about: JSON values that describe the network, stored in the index.

    Raises:
      InputError: the folder exists and is not a weight folder.
    """
    if epath.Path(folder).exists() and not is_weights(folder):
        raise InputError(f"{folder} exists and holds no weights: choose another folder")
    folder = _absolute(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lock_for(folder), atomic_folder(folder) as partial:
        groups = {}
        for i, group in enumerate(_grouped(items)):
            name = f"{i:04d}"
            with ocp.StandardCheckpointer(multiprocessing_options=_alone()) as checkpointer:
                checkpointer.save(partial / "groups" / name, group)
            groups[name] = sorted(group)
        index = {"about": dict(about), "groups": groups}
        (partial / INDEX).write_text(json.dumps(index, indent=1))


def load_weights(
    folder: epath.PathLike,
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    *,
    sharding: jax.sharding.Sharding | Mapping[str, jax.sharding.Sharding] | None = None,
) -> Params:
    """Reads the parameters that a network needs.

    Each process reads only the shards of its devices; in a run of several processes, all of them
    must call this together.

    Args:
      folder: weight folder, written by `save_weights`.
      shapes: shape and requested type of each parameter by name; the folder may hold more.
      sharding: sharding of all parameters, or of each by name; by default the first local device.

    Raises:
      InputError: not a weight folder, or the weights of another network.
    """
    if not is_weights(folder):
        raise InputError(f"{folder} holds no converted weights ({INDEX} is missing)")
    folder = _absolute(folder)
    groups = _read_index(folder)["groups"]
    stored = {name for names in groups.values() for name in names}
    missing = sorted(set(shapes) - stored)
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing)} of {len(shapes)} parameters, first {missing[0]!r}:"
            " it holds another network"
        )
    if not isinstance(sharding, Mapping):
        one = sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        sharding = dict.fromkeys(shapes, one)
    params: Params = {}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        for group, names in groups.items():
            if not any(name in shapes for name in names):
                continue
            path = folder / "groups" / group
            with _explaining(path):
                target = _abstract(checkpointer, path, shapes, sharding)
                arguments = ocp.args.PyTreeRestore(
                    item=target,
                    restore_args=ocp.checkpoint_utils.construct_restore_args(target),
                    partial_restore=True,
                )
                params |= checkpointer.restore(path, args=arguments)
    return params


def read_about(folder: epath.PathLike) -> dict[str, Any]:
    """Returns the JSON values that were saved with the weights.

    Raises:
      InputError: the index is damaged.
    """
    return _read_index(epath.Path(folder))["about"]


def _read_index(folder: epath.Path) -> dict[str, Any]:
    try:
        index = json.loads((folder / INDEX).read_text())
        groups = index["groups"]
        names = [name for group in groups.values() for name in group]
        if isinstance(index["about"], dict) and all(isinstance(name, str) for name in names):
            return index
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise InputError(f"{folder / INDEX}: damaged. {_COPY}")


@contextmanager
def _explaining(group: epath.Path) -> Iterator[None]:
    """Turns the errors of Orbax on a damaged group into words for people."""
    try:
        yield
    except (InputError, MemoryError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:  # Orbax raises all kinds, also plain ones
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(f"{group}: cannot be read ({reason}). {_COPY}") from error


def fingerprint(folder: epath.PathLike) -> str:
    """Computes a digest that differs between any two weight folders that were saved.

    Orbax gives every file of parameters a random name, so names and sizes are enough of those.

    Args:
      folder: weight folder, local or remote.
    """
    folder = epath.Path(folder)
    index = (folder / INDEX).read_text()
    total = hashlib.blake2b(index.encode(), digest_size=16)
    for file in _files_below(folder / "groups"):
        total.update(f"{file.name} {file.stat().length}\n".encode())
    return total.hexdigest()


def _files_below(folder: epath.Path) -> Iterator[epath.Path]:
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            yield from _files_below(entry)
        else:
            yield entry


def iterate_weights(folder: epath.PathLike) -> Iterator[tuple[str, np.ndarray]]:
    """Yields names and arrays as they are stored, with one group in memory at a time."""
    folder = _absolute(folder)
    with ocp.StandardCheckpointer() as checkpointer:
        for group in _read_index(folder)["groups"]:
            with _explaining(folder / "groups" / group):
                restored = checkpointer.restore(folder / "groups" / group)
            yield from ((name, np.asarray(x)) for name, x in restored.items())


def is_weights(folder: epath.PathLike) -> bool:
    """Returns whether a folder was written by `save_weights`; of a web address, False."""
    if os.fspath(folder).startswith(("http://", "https://")):
        return False
    return (epath.Path(folder) / INDEX).exists()


def _alone() -> ocp.options.MultiprocessingOptions:
    """Returns options with which this process writes without waiting for others."""
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}"
    )


def _absolute(folder: epath.PathLike) -> epath.Path:
    """Returns an absolute path, which Orbax requires."""
    folder = epath.Path(folder)
    return folder if folder.is_absolute() else folder.absolute()


def _grouped(items: Iterable[tuple[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
    group, size = {}, 0
    for name, array in items:
        if group and size + array.nbytes > GROUP_BYTES:
            yield group
            group, size = {}, 0
        group[name] = array
        size += array.nbytes
    if group:
        yield group


def _abstract(
    checkpointer: ocp.Checkpointer,
    path: epath.Path,
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    shardings: Mapping[str, jax.sharding.Sharding],
) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the requested parameters of a group, with the shardings to restore them in."""
    metadata = checkpointer.metadata(path).item_metadata
    if metadata is None:
        raise InputError(f"{path} is missing or broken: convert the checkpoint again")
    target = {}
    for name, stored in metadata.tree.items():
        wanted = shapes.get(name)
        if wanted is None:
            continue
        if tuple(stored.shape) != wanted.shape:
            raise InputError(
                f"{path.parent.parent}: {name} is {tuple(stored.shape)}, the network has"
                f" {wanted.shape}"
            )
        target[name] = jax.ShapeDtypeStruct(wanted.shape, wanted.dtype, sharding=shardings[name])
    return target
