"""Compiled executables in files, local or remote, each one whole or not there.

  FOLDER/NAME-KEY.executable    a line that says what it is, the SHA-256 of the rest, the rest

What is in a file is run, so the folder has to be as trusted as the package itself.
"""

import contextlib
import dataclasses
import hashlib
import logging
import os
import pickle
import time
import uuid
from collections.abc import Callable
from typing import Any

import jax
from etils import epath
from jax.experimental import serialize_executable

from venhancer_jax.pipelines.fingerprint import setting

VARIABLE = "VENHANCER_JAX_EXECUTABLES"
# What `jax.monitoring` is told when one is read, with the seconds that took.
LOADED = "/venhancer_jax/executable_load_duration"
_MAGIC = b"venhancer-jax executable 1\n"
_DIGEST_BYTES = 32
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Content:
    """What a file holds.

    Attributes:
      fingerprint: of the program, whole.
      devices: their numbers, in the order of the program.
      results: a tree like the program's results, of numbers.
      executable: bytes of XLA.
    """

    fingerprint: str
    devices: tuple[int, ...]
    results: Any
    executable: bytes


def folder() -> epath.Path | None:
    """Where the files are; None if none are kept.

    `$VENHANCER_JAX_EXECUTABLES`, of which `0` means none, or a folder in JAX's compilation cache,
    if that is in use.
    """
    chosen, cache = os.environ.get(VARIABLE), setting("jax_compilation_cache_dir")
    if chosen == "0" or not (cache and setting("jax_enable_compilation_cache")):
        return None
    return epath.Path(chosen) if chosen else epath.Path(cache) / "executables"


def path_of(folder: epath.Path, name: str, fingerprint: str) -> epath.Path:
    """The file of a program."""
    return folder / f"{name}-{hashlib.sha256(fingerprint.encode()).hexdigest()}.executable"


def read(path: epath.Path, fingerprint: str, arguments: Any) -> Callable[..., Any] | None:
    """The executable of a file.

    Args:
      path: of `path_of`.
      fingerprint: of the program.
      arguments: `(args, kwargs)` of a call of it.

    Returns:
      It, or None if there is none that can be used.
    """
    start = time.perf_counter()
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except Exception as error:  # of a file system, maybe a remote one
        _log.warning("%s cannot be read (%s): compiling instead", path, _line(error))
        return None
    header = len(_MAGIC) + _DIGEST_BYTES
    digest, payload = data[len(_MAGIC) : header], data[header:]
    # XLA crashes on what is cut short, so nothing is tried that is not whole.
    if not data.startswith(_MAGIC) or digest != hashlib.sha256(payload).digest():
        _log.warning("%s is no whole executable: compiling instead", path)
        return None
    try:
        content: _Content = pickle.loads(payload)
        if content.fingerprint != fingerprint:
            _log.warning("%s is the executable of another program: compiling instead", path)
            return None
        devices = {device.id: device for device in jax.devices()}
        loaded = serialize_executable.deserialize_and_load(
            content.executable,
            jax.tree.structure(arguments),
            jax.tree.structure(content.results),
            execution_devices=[devices[i] for i in content.devices],
        )
        jax.monitoring.record_event_duration_secs(LOADED, time.perf_counter() - start)
        return loaded
    except Exception as error:  # XLA says what it likes
        _log.warning("%s cannot be loaded (%s): compiling instead", path, _line(error))
        return None


def write(path: epath.Path, fingerprint: str, compiled: jax.stages.Compiled) -> None:
    """Keeps an executable; tells in the log where that is not possible.

    Args:
      path: of `path_of`; replaced if it exists.
      fingerprint: of the program.
      compiled: the program.
    """
    try:
        executable, _, tree = serialize_executable.serialize(compiled)
        content = _Content(
            fingerprint=fingerprint,
            devices=_devices(compiled),
            results=jax.tree.unflatten(tree, range(tree.num_leaves)),
            executable=executable,
        )
        payload = pickle.dumps(content)
        _write_whole(path, _MAGIC + hashlib.sha256(payload).digest() + payload)
    except Exception as error:  # not every backend can, not every folder takes it
        _log.warning("%s cannot be kept (%s)", path, _line(error))


def _write_whole(path: epath.Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".{path.name}.{uuid.uuid4().hex}.part"
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _devices(compiled: jax.stages.Compiled) -> tuple[int, ...]:
    """Numbers of the devices in the order in which the program uses them."""
    sharding = jax.tree.leaves((compiled.input_shardings, compiled.output_shardings))[0]
    mesh = getattr(sharding, "mesh", None)
    if mesh is not None:
        return tuple(int(i) for i in mesh.device_ids.flat)
    return tuple(sorted(device.id for device in sharding.device_set))


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
