"""A dataset of clips as ArrayRecord shards, written and opened through TensorFlow Datasets.

Neither needs TensorFlow.
"""

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader
from etils import epath
from tensorflow_datasets.core.writer import ExampleWriter

from venhancer_jax.errors import InputError
from venhancer_jax.files import atomic_folder

NAME = "clips"
VERSION = "1.0.0"
SPLIT = "train"
_VIDEOS = "videos.json"


class _Clips(tfds.core.GeneratorBasedBuilder):
    """Video clips of one scene each: encoded bytes, captions and metadata."""

    name = NAME
    VERSION = tfds.core.Version(VERSION)
    # Nothing is downloaded; without this, a file of checksums is searched beside the code.
    url_infos = {}  # pyright: ignore[reportAssignmentType]  # noqa: RUF012

    def __init__(self, *, examples: Any, **options: Any):
        self._examples = examples
        super().__init__(file_format="array_record", **options)

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features
        whole = features.Scalar(np.int64)
        return tfds.core.DatasetInfo(
            builder=self,
            features=features.FeaturesDict(
                {
                    "video": features.Text(),  # the bytes of the file; Text stores any
                    "name": features.Text(),
                    "caption": features.Text(),
                    "frames": whole,
                    "height": whole,
                    "width": whole,
                    "rate_numerator": whole,
                    "rate_denominator": whole,
                    "start": whole,
                }
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {SPLIT: self._generate_examples()}

    def _generate_examples(self) -> Any:
        return self._examples

    def _example_writer(self) -> ExampleWriter:
        return _AnywhereWriter(self.info.file_format)


class _AnywhereWriter(ExampleWriter):
    """Writes shards locally and copies them to stores that ArrayRecord cannot write."""

    def write(self, path: epath.PathLike, examples: Iterable[Any]) -> Any:
        if "://" not in os.fspath(path):
            return super().write(path, examples)
        with tempfile.TemporaryDirectory() as scratch:
            local = epath.Path(scratch) / "shard"
            super().write(local, examples)
            local.copy(path)
        return None


def write(
    folder: epath.PathLike,
    examples: Iterable[dict[str, Any]],
    *,
    shards: int,
    videos: dict[str, Any],
) -> None:
    """Writes a dataset, in place of an older one.

    Args:
      folder: folder that receives `clips/`.
      examples: features of each clip; names are unique.
      shards: number of files.
      videos: facts on the videos, stored with the clips for `read_videos`.
    """
    keyed = ((example["name"], example) for example in examples)
    _write(folder, keyed, tfds.download.DownloadConfig(num_shards=shards), videos)


def write_with_beam(
    folder: epath.PathLike, examples: Any, *, shard_size: float, options: Any
) -> None:
    """Writes a dataset on the machines of an Apache Beam runner, in place of an older one.

    Args:
      folder: folder that receives `clips/`; local to all machines, or `gs://`.
      examples: Beam transform that yields `(name, features)` of each clip.
      shard_size: size of a file in megabytes.
      options: Beam's `PipelineOptions`.
    """
    size = round(shard_size * 1e6)
    config = tfds.download.DownloadConfig(beam_options=options, max_shard_size=size)
    _write(folder, examples, config, {})


def _write(
    folder: epath.PathLike,
    examples: Any,
    config: tfds.download.DownloadConfig,
    videos: dict[str, Any],
) -> None:
    with atomic_folder(epath.Path(folder) / NAME) as partial:
        builder = _Clips(examples=examples, data_dir=os.fspath(partial))
        tfds.disable_progress_bar()
        with contextlib.redirect_stdout(io.StringIO()):  # it speaks of downloads
            builder.download_and_prepare(download_config=config)
        (partial / NAME / VERSION).rename(partial / VERSION)
        (partial / NAME).rmtree()
        (partial / _VIDEOS).write_text(json.dumps(videos))


def read_videos(folder: epath.PathLike) -> dict[str, Any]:
    """Reads the facts that `write` stored with a dataset; empty if there are none.

    Args:
      folder: folder of the dataset.
    """
    path = epath.Path(folder) / NAME / _VIDEOS
    return json.loads(path.read_text()) if path.exists() else {}


def is_dataset(folder: epath.PathLike) -> bool:
    """Returns whether a folder holds a complete dataset.

    Args:
      folder: folder of the dataset, local or `gs://`.
    """
    return (epath.Path(folder) / NAME / VERSION / "dataset_info.json").exists()


def open_dataset(folder: epath.PathLike, *, check: bool = True) -> Any:
    """Opens a dataset for random access. Shards are opened when first read.

    Args:
      folder: folder of the dataset.
      check: whether to open each shard and compare its length with that written.

    Returns:
      Sequence of features of the clips, text as bytes.

    Raises:
      InputError: no dataset, or a shard is missing, cut short, or of another length.
    """
    folder = epath.Path(folder)
    if not is_dataset(folder):
        raise InputError(
            f"{folder}: no prepared dataset. Make one with python -m venhancer_jax.data.prepare"
        )
    builder = tfds.builder_from_directory(str(folder / NAME / VERSION))
    split = builder.info.splits[SPLIT]
    if check:
        for path, expected in zip(split.filepaths, split.shard_lengths, strict=True):
            _check_shard(epath.Path(path), expected)
    return builder.as_data_source(split=SPLIT)  # pyright: ignore[reportCallIssue]


def _check_shard(path: epath.Path, expected: int) -> None:
    if not path.exists():
        raise InputError(f"{path}: this shard is missing. Copy the dataset again, or prepare it")
    try:
        reader = ArrayRecordReader(str(path))
        found = reader.num_records()
        reader.close()
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"{path}: the shard is damaged or cut short ({path.stat().length} bytes;"
            f" {error}). Copy the dataset again, or prepare it"
        ) from error
    if found != expected:
        raise InputError(
            f"{path}: {found} clips in this shard, where {expected} were written: it is damaged or"
            " cut short. Copy the dataset again, or prepare it"
        )
