"""Files on the Hugging Face hub: their names, and downloads that tell which commit they are of."""

import dataclasses
import itertools
import re
from pathlib import Path
from urllib.parse import unquote, urlparse

from venhancer_jax.errors import InputError

_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_ID = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)/(?P<path>.+\.(pt|pth|bin|ckpt|safetensors))")
_URL = re.compile(r"/(?P<repository>[^/]+/[^/]+)/(resolve|blob)/(?P<revision>[^/]+)/(?P<path>.+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclasses.dataclass(frozen=True)
class HubFile:
    """A file in a repository of the hub.

    Attributes:
      repository: name of the repository, `owner/name`.
      path: path of the file in the repository.
      revision: commit, tag or branch; None for the default branch.
    """

    repository: str
    path: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.repository}/{self.path}"

    @property
    def url(self) -> str:
        """Returns the address to download the file from."""
        revision = self.revision or "main"
        return f"https://huggingface.co/{self.repository}/resolve/{revision}/{self.path}"


def parse(checkpoint: str) -> HubFile:
    """Parses `owner/repository/path` or the URL of a file on the hub.

    Raises:
      InputError: neither of the two.
    """
    url = urlparse(checkpoint)
    match = _URL.fullmatch(url.path) if url.scheme else _ID.fullmatch(checkpoint)
    if match is None or (url.scheme and url.netloc not in _HOSTS):
        raise InputError(
            f"checkpoint {checkpoint!r}: no such file or folder, and neither"
            " owner/repository/file on the Hugging Face hub nor the URL of such a file"
        )
    revision = unquote(match["revision"]) if url.scheme else None
    return HubFile(match["repository"], unquote(match["path"]), revision)


def download(file: HubFile) -> tuple[Path, str | None]:
    """Downloads a file into the cache of `huggingface_hub`, unless it is there.

    Args:
      file: file to download.

    Returns:
      The path of the downloaded file, and the commit that it is of, None where that is unknown.

    Raises:
      InputError: the file cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download

    try:
        path = Path(hf_hub_download(file.repository, file.path, revision=file.revision))
    except Exception as error:  # of several libraries, and the way out is the same
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"could not download {file} ({reason}).\n"
            f"Download {file.url} where there is a network, and give the file's path instead"
        ) from None
    return path, _commit(path)


def _commit(path: Path) -> str | None:
    """Reads the commit from a path in the hub's cache, `.../snapshots/<commit>/...`."""
    parts = path.parts
    return next(
        (
            commit
            for folder, commit in itertools.pairwise(parts)
            if folder == "snapshots" and _COMMIT.fullmatch(commit)
        ),
        None,
    )
