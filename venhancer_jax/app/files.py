"""Folders that the page may read and write, and settings that name something to open."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from venhancer_jax.errors import InputError
from venhancer_jax.files import content_digest
from venhancer_jax.pipelines.config import settings_of, system_of
from venhancer_jax.pipelines.job_folder import job_path
from venhancer_jax.settings import help_rows
from venhancer_jax.video.writing.codec_options import split_codec_options

_WORD = re.compile(r"\w[\w.-]*")
# Encoder options that name no file.
_ENCODER_OPTIONS = (
    *("b", "bf", "bufsize", "cpu-used", "crf", "g", "keyint_min", "level", "maxrate", "mbtree"),
    *("preset", "profile", "qp", "refs", "slices", "tune", "vendor"),
)


class Folders:
    """Folders in which the page may read and write; symbolic links count where they end.

    Attributes:
      work: folder of results, uploads and, hidden, what the app stores.
      roots: all folders, `work` first.
    """

    def __init__(self, work: Path, others: Sequence[Path] = (), known: Sequence[Path] = ()) -> None:
        """Creates the work folder.

        Args:
          work: folder of results.
          others: further folders that may be read and written.
          known: input and output that the app was started with, which are allowed.

        Raises:
          InputError: the work folder cannot be created, or another one does not exist.
        """
        try:
            work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"folder {work}: cannot be created ({error.strerror})") from error
        for other in others:
            if not other.is_dir():
                raise InputError(f"allow {other}: no such folder")
        self.work = work.resolve()
        inside = [*others, *(path for path in known if path.is_dir())]
        self.roots = (self.work, *(path.resolve() for path in inside))
        self._known = {path.absolute() for path in known}

    @property
    def hidden(self) -> Path:
        """Returns the folder of what the app stores for itself."""
        return self.work / ".app"

    def find(self, text: str, name: str) -> Path:
        """Returns the absolute path that a person means.

        Args:
          text: absolute path, or path relative to one of the folders.
          name: name of the value in error messages.

        Raises:
          InputError: a path that leads out of the folders, or to hidden files.
        """
        path = Path(text.strip())
        if "\0" in text or ".." in path.parts:
            raise InputError(f"{name} {text!r}: expected a path without '..'")
        if path.absolute() in self._known:
            return path
        tried = [root / path for root in self.roots]
        found = next((p for p in tried if p.exists()), tried[0])
        self.check(found, name, text)
        return found

    def check(self, path: Path, name: str, shown: str = "") -> None:
        """Checks that a path ends inside one of the folders.

        Args:
          path: absolute path, which need not exist.
          name: name of the value in error messages.
          shown: text of the path in error messages, by default `path`.

        Raises:
          InputError: the path leads out of the folders, or to hidden files.
        """
        try:
            real = path.resolve()
        except (OSError, RuntimeError):  # a loop of links
            real = Path("/")
        for root in self.roots:
            if real.is_relative_to(root):
                if any(part.startswith(".") for part in real.relative_to(root).parts):
                    raise InputError(f"{name} {shown or path}: hidden files are not for this page")
                return
        allowed = ", ".join(map(str, self.roots))
        raise InputError(
            f"{name} {shown or path}: outside the folders of this page ({allowed}). Choose a path"
            " inside, or start the app with --allow=FOLDER"
        )

    def check_source(self, path: Path) -> None:
        """Checks an input and what is read with it: a prompt beside it, pictures in a folder.

        Raises:
          InputError: one of them leads out of the folders.
        """
        if path.absolute() in self._known:
            return
        for read in (path, path.with_suffix(".txt"), *(path.iterdir() if path.is_dir() else ())):
            if not read.name.startswith("."):
                self.check(read, "input")

    def check_target(self, path: Path) -> None:
        """Checks an output and its job folder.

        Raises:
          InputError: one of them leads out of the folders.
        """
        if path.absolute() in self._known:
            return
        for written in (path, job_path(path)):
            self.check(written, "output")

    def check_opened(self, config: ConfigDict, start: ConfigDict) -> dict[str, str]:
        """Checks all settings that name something to open, besides input and output.

        What the app was started with is allowed; else names of checkpoints, and paths inside the
        folders.

        Args:
          config: config of a job.
          start: config that the app was started with.

        Returns:
          Absolute paths of the settings that are paths, by key.

        Raises:
          InputError: a setting would open something else.
        """
        rows = help_rows(config, *settings_of(system_of(config)))
        before = {row.key: row.default for row in help_rows(start, *settings_of(system_of(start)))}
        paths = {}
        for row in rows:
            value = row.default
            if not row.opens or row.key in ("input", "output"):
                continue
            if not value or value == before.get(row.key):
                continue
            if row.key == "codec_options":
                _check_encoder_options(value)
            elif ":" in value:
                raise InputError(
                    f"{row.key} {value!r}: can be set only when the app is started,"
                    f" --config.{row.key}=..."
                )
            elif not self._is_name(row.key, value):
                paths[row.key] = str(self.find(value, row.key))
        return paths

    def _is_name(self, key: str, value: str) -> bool:
        """Returns whether a value is a name, such as `svd_vae` or `auto`, and no path."""
        if not (key in ("cuts", "reference") or key.endswith("checkpoint")):
            return False
        there = any(folder.joinpath(value).exists() for folder in (Path(), *self.roots))
        return not there and _WORD.fullmatch(value) is not None

    def keep_upload(self, path: Path) -> Path:
        """Moves an uploaded file to the folder of uploads; equal files are stored once.

        Args:
          path: file that was uploaded, in the hidden folder.

        Returns:
          Path of the stored file.

        Raises:
          InputError: not a file in the hidden folder.
        """
        if not path.resolve().is_relative_to(self.hidden) or not path.is_file():
            raise InputError(f"{path.name}: not an upload")
        folder = self.work / "uploads"
        folder.mkdir(exist_ok=True)
        name = path.name.lstrip(".") or "upload"
        target, number = folder / name, 1
        while target.exists():
            if content_digest(target) == content_digest(path):
                path.unlink()
                return target
            number += 1
            target = folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
        shutil.move(path, target)
        return target


def _check_encoder_options(value: str) -> None:
    for name, setting in split_codec_options(value):
        if name not in _ENCODER_OPTIONS or not _WORD.fullmatch(setting):
            raise InputError(
                f"codec_options: {name}={setting} can be set only when the app is started;"
                f" this page takes {', '.join(_ENCODER_OPTIONS)}"
            )
