"""Parameters of a network on disk: Orbax, in groups that bound the memory of writing and reading.

  FOLDER/weights.json    what network this is, and which group holds which parameter
  FOLDER/groups/0000     an Orbax checkpoint of at most a gibibyte, a flat dictionary by name

Orbax holds a checkpoint twice in memory while it writes; the full network has 7.6 GiB.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from venhancer_jax.errors import InputError
from venhancer_jax.files import atomic_folder
from venhancer_jax.models.functional import Params

INDEX = "weights.json"
GROUP_BYTES = 2**30


def save_weights(
    folder: epath.PathLike, items: Iterable[tuple[str, np.ndarray]], about: Mapping[str, Any]
) -> None:
    """Writes parameters one after the other; the folder appears whole or not at all.

    Of several processes one calls this; Orbax waits for no other.

    Args:
      folder: local or remote; replaced if it holds weights already.
      items: names and arrays, consumed as they are written.
      about: JSON facts of the network, kept in the index.

    Raises:
      InputError: the folder exists and holds something else.
    """
    if epath.Path(folder).exists() and not is_weights(folder):
        raise InputError(f"{folder} exists and holds no weights: choose another folder")
    folder = _absolute(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as partial:
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

    Each process reads only what its devices hold; with several, all have to call this together.

    Args:
      folder: what `save_weights` made.
      shapes: of each parameter, in the types they shall have; the folder may hold more.
      sharding: of all parameters, or of each by its name; by default one device.

    Raises:
      InputError: no weights there, or not those of this network.
    """
    if not is_weights(folder):
        raise InputError(f"{folder} holds no converted weights ({INDEX} is missing)")
    folder = _absolute(folder)
    groups = json.loads((folder / INDEX).read_text())["groups"]
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
            target = _abstract(checkpointer, path, shapes, sharding)
            arguments = ocp.args.PyTreeRestore(
                item=target,
                restore_args=ocp.checkpoint_utils.construct_restore_args(target),
                partial_restore=True,
            )
            params |= checkpointer.restore(path, args=arguments)
    return params


def read_about(folder: epath.PathLike) -> dict[str, Any]:
    """The facts that were saved with the weights."""
    return json.loads((epath.Path(folder) / INDEX).read_text())["about"]


def iterate_weights(folder: epath.PathLike) -> Iterator[tuple[str, np.ndarray]]:
    """Names and arrays as they are stored, one group in memory at a time."""
    folder = _absolute(folder)
    groups = json.loads((folder / INDEX).read_text())["groups"]
    with ocp.StandardCheckpointer() as checkpointer:
        for group in groups:
            restored = checkpointer.restore(folder / "groups" / group)
            yield from ((name, np.asarray(x)) for name, x in restored.items())


def is_weights(folder: epath.PathLike) -> bool:
    """Whether `save_weights` made this folder."""
    return (epath.Path(folder) / INDEX).exists()


def _alone() -> ocp.options.MultiprocessingOptions:
    """This process writes, whatever the others do."""
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}"
    )


def _absolute(folder: epath.PathLike) -> epath.Path:
    """Orbax writes to no other paths."""
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
    """What to restore of a group: the wanted parameters, and nothing of the others."""
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
