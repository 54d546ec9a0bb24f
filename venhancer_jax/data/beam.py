"""Preparation on many machines: the workers of an Apache Beam runner cut the videos.

A worker fetches a video, cuts it in a temporary folder, and passes the clips to TFDS, which
shuffles them and writes the shards. Facts on each video go to a report beside the dataset, from
which the manifest is written at the end.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from etils import epath

from venhancer_jax.data import manifest, records
from venhancer_jax.data.captions import Captions
from venhancer_jax.data.clips import ClipRules, stage
from venhancer_jax.errors import InputError
from venhancer_jax.video import VIDEO_SUFFIXES

try:
    import apache_beam as beam  # pyright: ignore[reportMissingImports]
    from apache_beam.options.pipeline_options import (  # pyright: ignore[reportMissingImports]
        PipelineOptions,
    )
except ImportError as error:
    raise InputError(
        f"--beam needs Apache Beam, which cannot be imported ({error}). Install it:"
        " pip install 'venhancer-jax[beam]'"
    ) from error

_REPORTS = ".reports"


def prepare_with_beam(
    source: epath.PathLike,
    output: epath.PathLike,
    *,
    options: Sequence[str],
    captions: str | Path | None = None,
    rules: ClipRules | None = None,
    shard_size: float = 512,
) -> manifest.Prepared:
    """Writes the dataset that `prepare` writes.

    Args:
      source: folder of videos that all workers see: local, or `gs://`.
      output: folder of the dataset that all workers see: local, or `gs://`.
      options: options of Beam, such as `["--runner=DirectRunner"]`.
      captions: table of captions, or None.
      rules: rules for clips.
      shard_size: size of a shard in megabytes.

    Raises:
      InputError: no video in the folder, no usable clip, or a wrong setting.
    """
    source, output, rules = epath.Path(source), epath.Path(output), rules or ClipRules()
    manifest.check_settings(rules, shard_size)
    names = _names(source, output)
    output.mkdir(parents=True, exist_ok=True)
    reports = output / _REPORTS
    reports.rmtree(missing_ok=True)
    reports.mkdir()
    cut = _Cut(os.fspath(source), os.fspath(reports), Captions(captions), rules)
    examples = (
        "Videos" >> beam.Create(names)
        # Else the runner would leave them all to the machine that lists them.
        | "Spread" >> beam.Reshuffle()
        | "Cut" >> beam.FlatMap(cut)
    )
    settings = PipelineOptions([*options, "--pickle_library=cloudpickle"])
    try:
        records.write_with_beam(output, examples, shard_size=shard_size, options=settings)
    except Exception:
        found = _reports(reports, names)
        # Without any clip TFDS fails with a word of its own.
        if len(found) == len(names) and not any(report["clips"] for report in found.values()):
            raise manifest.no_clip(source, _skipped(found)) from None
        raise
    found = _reports(reports, names)
    lines = [clip for report in found.values() for clip in report["clips"]]
    shards = len(list((output / records.NAME / records.VERSION).glob("*.array_record*")))
    manifest.describe(output, lines, _skipped(found), shards=shards)
    reports.rmtree()
    return manifest.Prepared(clips=len(lines), skipped=_skipped(found), changed=True)


@dataclasses.dataclass(frozen=True)
class _Cut:
    """Cuts a video into records, on a worker."""

    source: str
    reports: str
    captions: Captions
    rules: ClipRules

    def __call__(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        with tempfile.TemporaryDirectory() as scratch, self._folder(name, scratch) as folder:
            video, clips = folder / name, Path(scratch) / "clips"
            staged = stage(video, name, clips, self.rules)
            caption = self.captions.of(video, folder)
            lines = [
                {**dataclasses.asdict(clip), "video": name, "caption": caption}
                for clip in staged.clips
            ]
            # The temporary path of the video helps nobody.
            problem = staged.problem.replace(os.fspath(video), name)
            report = json.dumps({"clips": lines, "problem": problem})
            (epath.Path(self.reports) / _report_of(name)).write_text(report)
            for line in lines:
                yield line["name"], manifest.features(line, (clips / line["file"]).read_bytes())

    @contextlib.contextmanager
    def _folder(self, name: str, scratch: str) -> Iterator[Path]:
        """Provides a local folder with the video and the text beside it."""
        if "://" not in self.source:
            yield Path(self.source)
            return
        folder, video = Path(scratch) / "videos", epath.Path(self.source) / name
        (folder / name).parent.mkdir(parents=True)
        video.copy(folder / name)
        text = video.with_suffix(".txt")
        if text.exists():
            text.copy((folder / name).with_suffix(".txt"))
        yield folder


def _names(source: epath.Path, output: epath.Path) -> list[str]:
    """Lists the paths of the videos relative to `source`."""
    if "://" not in os.fspath(source):
        root = Path(os.fspath(source))
        found = manifest.find_videos(root, Path(os.fspath(output)))
        return [path.relative_to(root).as_posix() for path in found]
    start = f"{os.fspath(source).rstrip('/')}/"
    paths = (os.fspath(path).removeprefix(start) for path in source.rglob("*"))
    names = sorted(
        name
        for name in paths
        if Path(name).suffix.lower() in VIDEO_SUFFIXES
        and not any(part.startswith(".") for part in name.split("/"))
    )
    if not names:
        raise InputError(f"{source}: no video in this folder or below it")
    return names


def _reports(folder: epath.Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """Reads the workers' reports, by video; videos without one are missing."""
    paths = {name: folder / _report_of(name) for name in names}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def _skipped(reports: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: report["problem"] for name, report in reports.items() if report["problem"]}


def _report_of(name: str) -> str:
    return f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.json"
