"""Checkpoints by path, Hugging Face id or URL, converted once and cached.

A conversion is cached under a name that depends on the checkpoint, the rules of conversion and the
version of this package. The first download of a hub file whose revision is not known records the
commit in the weight folder; later runs use the file of that commit.
"""

import dataclasses
import hashlib
import inspect
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etils import epath
from filelock import FileLock, Timeout

import venhancer_jax
from venhancer_jax import weights
from venhancer_jax.convert import hub, rules
from venhancer_jax.convert.checkpoint import convert
from venhancer_jax.convert.hub import HubFile
from venhancer_jax.convert.layouts import all_layouts, all_published
from venhancer_jax.convert.release import Release, find_parts
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines import catalog
from venhancer_jax.startup import cache_folder


@dataclasses.dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint on this machine.

    Attributes:
      path: path of the file.
      origin: file on the hub, with the revision that was requested; None for a local file.
      commit: commit of the repository that the file is of; None where that is unknown.
    """

    path: Path
    origin: HubFile | None = None
    commit: str | None = None


def published() -> dict[str, HubFile]:
    """Returns the published checkpoints by their short names."""
    return all_published()


def weights_of(network: str, checkpoint: str) -> epath.Path:
    """Returns the weight folder of a checkpoint, which is downloaded and converted if need be.

    Of several processes that need one checkpoint, one converts it and the others wait.

    Args:
      network: name of the network, such as `vae` or `text`.
      checkpoint: weight folder; checkpoint file; `owner/repository/file` on the Hugging Face hub or
        the URL of such a file; or a short name of `published`.

    Returns:
      The folder, for `venhancer_jax.weights.load_weights`.

    Raises:
      InputError: the checkpoint cannot be found, downloaded or converted.
    """
    if weights.is_weights(checkpoint):
        return _checked(network, epath.Path(checkpoint))
    if (folder := _cached(network, checkpoint)) is not None:
        return folder
    file = resolve(checkpoint)
    folder = _cache_folder_of(network, file)
    with _locked(folder):
        if not weights.is_weights(folder):
            origin = f" of {file.origin}" if file.origin else ""
            commit = f", commit {file.commit}" if file.commit else ""
            print(
                f"converting {file.path.name}{origin}{commit}, once; cached in {folder}", flush=True
            )
            convert_file(network, file, folder)
    return epath.Path(folder)


def resolve(checkpoint: str) -> CheckpointFile:
    """Finds the file of a checkpoint, and downloads it if need be.

    Args:
      checkpoint: checkpoint file; id or URL of a file on the hub; or a short name of `published`.

    Raises:
      InputError: no such file, or a file that cannot be downloaded.
    """
    path = Path(checkpoint)
    if path.is_dir():
        raise InputError(f"{path} holds no converted weights: give the checkpoint file in it")
    if path.exists():
        return CheckpointFile(path)
    file = published().get(checkpoint) or hub.parse(checkpoint)
    revision = file.revision or _recorded_commit(file)
    path, commit = hub.download(dataclasses.replace(file, revision=revision))
    return CheckpointFile(path, file, commit)


def convert_file(
    network: str,
    file: CheckpointFile,
    folder: str | Path,
    *,
    config: catalog.Config | None = None,
    dtype: str | None = None,
) -> None:
    """Converts a checkpoint to a weight folder that also stores the origin and the rules.

    Args:
      network: name of the network, such as `vae` or `text`.
      file: result of `resolve`.
      folder: weight folder to write, which appears whole or not at all.
      config: config of the network, by default with the published sizes.
      dtype: type of the weights, by default the type of each tensor.

    Raises:
      InputError: a checkpoint that does not fit the network.
    """
    about: dict[str, object] = {
        "converter": {"version": venhancer_jax.__version__, "rules": rules_digest(network)}
    }
    if file.origin:
        about["origin"] = dataclasses.asdict(file.origin) | {"commit": file.commit}
    convert(network, file.path, folder, config=config, dtype=dtype, about=about)


def convert_release(
    release: Release, source: str | Path, folder: str | Path, *, dtype: str | None = None
) -> None:
    """Converts a published folder to a folder of weight folders.

    Args:
      release: what the published folder holds.
      source: published folder.
      folder: folder to write the weight folders into; each appears whole or not at all.
      dtype: type of the weights, by default the type of each tensor.

    Raises:
      InputError: a folder that lacks a part, or a checkpoint of another network.
    """
    source, folder = Path(source), Path(folder)
    for part, path in find_parts(release, source).items():
        target = folder / part.folder
        convert_file(part.network, CheckpointFile(path), target, config=part.config, dtype=dtype)
        print(f"wrote {target}", flush=True)
    for name in release.settings:
        if (source / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)


def _checked(network: str, folder: epath.Path) -> epath.Path:
    found = weights.read_about(folder).get("network")
    if found != network:
        raise InputError(f"{folder} holds the weights of {found!r}, not of {network!r}")
    return folder


def _converted_folder() -> Path:
    return cache_folder() / "converted"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Waits for other processes that convert to a folder, and keeps them from it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # In the cache and not in a temporary folder, as several machines may share the cache.
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another process that converts to {folder}", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _cached(network: str, checkpoint: str) -> epath.Path | None:
    """Returns the conversion of a hub file whose commit is known; needs no download."""
    if Path(checkpoint).exists():
        return None
    file = published().get(checkpoint) or hub.parse(checkpoint)
    commit = _recorded_commit(file)
    if commit is None:
        return None
    folder = _cache_folder_of(network, CheckpointFile(Path(file.path), file, commit))
    return epath.Path(folder) if weights.is_weights(folder) else None


def _cache_folder_of(network: str, file: CheckpointFile) -> Path:
    """Returns the folder of a conversion, whose name changes with the checkpoint and the rules.

    The checkpoint is not read: size and time stand for the content of a local file. Files beside
    it are.
    """
    if file.commit:
        source = f"{file.origin!r} {file.commit}"
    else:
        stat = file.path.stat()
        described = all_layouts()[network].beside(catalog.config_class(network)(), file.path)
        source = f"{file.path.resolve()} {stat.st_size} {stat.st_mtime_ns} {described!r}"
    facts = [network, source, rules_digest(network), venhancer_jax.__version__]
    key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]
    return _converted_folder() / f"{file.path.stem}-{key}"


def rules_digest(network: str) -> str:
    """Computes a digest of all rules by which checkpoints of a network are converted."""
    config = catalog.config_class(network)()
    facts = [inspect.getsource(rules), repr(sorted(catalog.config_to_dict(config).items()))]
    for name, table in sorted(all_layouts()[network].tables.items()):
        facts.append(f"{name} {sorted(table(config).items())!r}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


def _recorded_commit(file: HubFile) -> str | None:
    """Returns the commit of the latest conversion of a hub file requested in the same way."""
    indices = _converted_folder().glob(f"{Path(file.path).stem}-*/{weights.INDEX}")
    for index in sorted(indices, key=lambda index: index.stat().st_mtime, reverse=True):
        origin = weights.read_about(index.parent).get("origin", {})
        if origin | {"commit": None} == dataclasses.asdict(file) | {"commit": None}:
            return origin["commit"]
    return None
