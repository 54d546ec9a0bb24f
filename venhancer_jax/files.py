"""Files and folders that appear whole or not at all, local or remote.

A result is written under a hidden name beside its final one and then renamed. Hidden names are
unique, so that two writers never share one.
"""

import hashlib
import os
import re
import secrets
import socket
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etils import epath
from filelock import FileLock

_PARTIAL = ".part"


def atomic_write(path: epath.PathLike, content: str | bytes) -> None:
    """Writes a file, in place of an older one.

    Args:
      path: final name, in a folder that exists.
      content: text, stored as UTF-8, or bytes.

    Raises:
      OSError: the file cannot be written; an older one is unchanged.
    """
    with atomic_file(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_file(path: epath.PathLike) -> Iterator[epath.Path]:
    """Provides a hidden path to write; the file takes its final name when the block ends.

    If the block raises, the hidden file is removed and an older file is unchanged.

    Args:
      path: final name, in a folder that exists.

    Yields:
      Path of a file that does not exist yet.
    """
    path = epath.Path(path)
    partial = _partial(path)
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def hidden_file(path: epath.PathLike) -> Iterator[epath.Path]:
    """Provides a hidden path beside a final name, for data that is needed while that is written.

    Args:
      path: final name, in a folder that exists.

    Yields:
      Path of a file that does not exist yet; the file is removed when the block ends.
    """
    partial = _partial(epath.Path(path))
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: epath.PathLike) -> Iterator[epath.Path]:
    """Provides a hidden folder to fill; it takes its final name when the block ends.

    If the block raises, the hidden folder is removed and an older folder is unchanged. A process
    that is killed at any moment leaves the older folder or, once the new one is complete, what
    `recover` needs to put the new one in place; the next call does so first. Where several
    processes may write one folder, each has to hold `lock_for` it.

    Args:
      path: final name, in a folder that exists.

    Yields:
      Path of a new, empty folder.
    """
    path = epath.Path(path)
    recover(path)
    for leftover in (path, _journal(path)):
        remove_stale(leftover)
    partial = _partial(path)
    try:
        partial.mkdir()
        yield partial
        # From here on the new folder counts: `recover` finds the journal and does the rest.
        atomic_write(_journal(path), partial.name)
    except BaseException:
        _journal(path).unlink(missing_ok=True)
        partial.rmtree(missing_ok=True)
        raise
    recover(path)


def recover(path: epath.PathLike) -> None:
    """Finishes the replacement of a folder that a killed process began; else does nothing.

    Args:
      path: final name of a folder written by `atomic_folder`.
    """
    path = epath.Path(path)
    journal, older = _journal(path), path.with_name(f".{path.name}.older")
    if journal.exists():
        partial = path.with_name(journal.read_text())
        if partial.exists():
            if _is_remote(path):
                # Object stores rename by copying, so that the source has to outlive the journal.
                path.rmtree(missing_ok=True)
                _copy_tree(partial, path)
            else:
                if path.exists():
                    older.rmtree(missing_ok=True)
                    path.rename(older)
                partial.rename(path)
        journal.unlink()
        partial.rmtree(missing_ok=True)
    older.rmtree(missing_ok=True)


def content_digest(path: Path) -> str:
    """Computes a digest of a file, or of the names and contents of the files in a folder."""
    if path.is_dir():
        total = hashlib.blake2b(digest_size=16)
        for file in sorted(path.iterdir()):
            total.update(f"{file.name}\0{content_digest(file)}\0".encode())
        return total.hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def lock_for(path: epath.PathLike) -> FileLock:
    """Returns a lock on writing `path`, for processes of one user on one machine.

    The lock file is in the system's temporary folder, so that none is left beside the result. The
    operating system releases the lock of a process that ends in any way.

    Args:
      path: final name of a file or folder; it need not exist.
    """
    folder = epath.Path(tempfile.gettempdir()) / f"venhancer_jax-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    digest = hashlib.sha256(os.fsencode(epath.Path(path).resolve())).hexdigest()
    return FileLock(folder / f"{digest}.lock")


def remove_stale(path: epath.PathLike) -> None:
    """Removes hidden files and folders that killed processes of this machine left beside `path`.

    Args:
      path: final name of a file or folder.
    """
    path = epath.Path(path)
    names = re.compile(rf"\.{re.escape(path.name)}\.{_machine()}-(\d+)-\w+\{_PARTIAL}")
    for entry in path.parent.iterdir():
        if (match := names.fullmatch(entry.name)) and not _is_alive(int(match[1])):
            entry.rmtree() if entry.is_dir() else entry.unlink()


def remove_partials(folder: epath.PathLike) -> None:
    """Removes all hidden files and folders that were being written in a folder.

    Args:
      folder: folder that only the caller writes.
    """
    for entry in epath.Path(folder).iterdir():
        if entry.name.startswith(".") and entry.name.endswith(_PARTIAL):
            entry.rmtree() if entry.is_dir() else entry.unlink()


def _sync(path: epath.Path) -> None:
    """Waits until a local file, or the names in a local folder, are on the disk."""
    if _is_remote(path) or not path.exists():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _partial(path: epath.Path) -> epath.Path:
    unique = f"{_machine()}-{os.getpid()}-{secrets.token_hex(3)}"
    return path.with_name(f".{path.name}.{unique}{_PARTIAL}")


def _journal(path: epath.Path) -> epath.Path:
    return path.with_name(f".{path.name}.next")


def _machine() -> str:
    """Returns eight digits that distinguish the machines that share a disk."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # a process of another user
        pass
    return True


def _is_remote(path: epath.Path) -> bool:
    return "://" in os.fspath(path)


def _copy_tree(source: epath.Path, target: epath.Path) -> None:
    target.mkdir(exist_ok=True)
    for entry in source.iterdir():
        if entry.is_dir():
            _copy_tree(entry, target / entry.name)
        else:
            entry.copy(target / entry.name, overwrite=True)
