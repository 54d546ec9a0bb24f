"""What a person asks for: a command line, checked, for each video."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from venhancer_jax.app.arguments import arguments_of, config_of, rows_of
from venhancer_jax.app.files import Folders
from venhancer_jax.errors import InputError
from venhancer_jax.files import atomic_write
from venhancer_jax.pipelines.jobs import check_jobs, list_jobs

_RESTART = "--config.restart=True"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asked for.

    Attributes:
      arguments: arguments of the command line that does the same.
      source: video to read.
      target: final name of the result.
      index: position of the video among those of its folder.
      preview: whether only pieces of the video are enhanced.
    """

    arguments: tuple[str, ...]
    source: Path
    target: Path
    index: int = 0
    preview: bool = False

    @property
    def restarts(self) -> bool:
        """Returns whether finished segments of an older run are discarded."""
        return _RESTART in self.arguments

    def resumed(self) -> Self:
        """Returns the request that continues after finished segments."""
        arguments = tuple(a for a in self.arguments if a != _RESTART)
        return dataclasses.replace(self, arguments=arguments)

    def write(self, path: Path) -> None:
        """Stores the request as JSON."""
        atomic_write(path, json.dumps(dataclasses.asdict(self), default=str))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Reads a stored request; returns None for a damaged file."""
        try:
            stored = json.loads(path.read_text())
            return cls(
                arguments=tuple(map(str, stored["arguments"])),
                source=Path(stored["source"]),
                target=Path(stored["target"]),
                index=int(stored["index"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def make_requests(
    folders: Folders, start: Sequence[str], values: Mapping[str, Any], *, preview: bool = False
) -> tuple[list[Request], list[str]]:
    """Checks the values of a page and returns a request for each video.

    Args:
      folders: folders of the app.
      start: arguments of the command line that the app was started with.
      values: values of controls by key.
      preview: whether only pieces of the first video are enhanced.

    Returns:
      Requests, and messages about the videos of a folder that cannot be enhanced.

    Raises:
      InputError: a wrong value, a path outside the folders, or nothing that can be enhanced.
    """
    before = config_of(start)
    arguments = [*start, *arguments_of(rows_of(before), values)]
    config = config_of(arguments)
    if config.distributed or config.coordinator:
        raise InputError("this page runs on one host: leave out distributed and coordinator")
    if not config.input:
        raise InputError("no video: upload one, or type the path of one")
    with config.unlocked():
        paths = folders.check_opened(config, before)
        config.update(paths)
        config.input = str(folders.find(config.input, "input"))
        folders.check_source(Path(config.input))
        if config.output:
            is_folder = config.output.endswith("/")
            config.output = str(folders.find(config.output, "output")) + "/" * is_folder
        pairs = list_jobs(config)
        if not config.output:
            single = pairs[0][0] == Path(config.input)
            config.output = str(folders.work / pairs[0][1].name if single else folders.work)
            pairs = list_jobs(config)
    for source, target in pairs:
        folders.check_source(source)
        folders.check_target(target)
    jobs, problems = check_jobs(config)
    sources = [source for source, _ in pairs]
    replaced = tuple(f"--config.{key}=" for key in ("input", "output", *paths))
    arguments = [a for a in arguments if not a.startswith(replaced)]
    arguments += [f"--config.{key}={path}" for key, path in paths.items()]
    requests = [
        Request(
            arguments=(*arguments, f"--config.input={job.source}", f"--config.output={job.target}"),
            source=job.source,
            target=job.target,
            index=sources.index(job.source),
            preview=preview,
        )
        for job in jobs
    ]
    return requests[:1] if preview else requests, problems
