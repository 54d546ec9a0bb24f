"""A dataset of clips as ArrayRecord shards, written and opened through TensorFlow Datasets.

Neither needs TensorFlow.
"""

import contextlib
import io
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

NAME = "clips"
VERSION = "1.0.0"
SPLIT = "train"


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
    """Writes shards beside, and copies them where ArrayRecord itself cannot write."""

    def write(self, path: epath.PathLike, examples: Iterable[Any]) -> Any:
        if "://" not in os.fspath(path):
            return super().write(path, examples)
        with tempfile.TemporaryDirectory() as scratch:
            local = epath.Path(scratch) / "shard"
            super().write(local, examples)
            local.copy(path)
        return None


def write(folder: epath.PathLike, examples: Iterable[dict[str, Any]], *, shards: int) -> None:
    """Writes a dataset to `folder`, in place of an older one, whole or not at all.

    Args:
      folder: receives `clips/1.0.0`.
      examples: dictionaries of the features; names are unique.
      shards: number of files.
    """
    keyed = ((example["name"], example) for example in examples)
    _write(folder, keyed, tfds.download.DownloadConfig(num_shards=shards))


def write_with_beam(
    folder: epath.PathLike, examples: Any, *, shard_size: float, options: Any
) -> None:
    """Writes a dataset as `write` does, on the machines of an Apache Beam runner.

    Args:
      folder: receives `clips/1.0.0`; local to all machines, or `gs://`.
      examples: a Beam transform that makes `(name, dictionary of the features)`.
      shard_size: of a file, in megabytes.
      options: Beam's `PipelineOptions`.
    """
    size = round(shard_size * 1e6)
    config = tfds.download.DownloadConfig(beam_options=options, max_shard_size=size)
    _write(folder, examples, config)


def _write(folder: epath.PathLike, examples: Any, config: tfds.download.DownloadConfig) -> None:
    folder = epath.Path(folder)
    partial = folder / ".partial"
    partial.rmtree(missing_ok=True)
    builder = _Clips(examples=examples, data_dir=os.fspath(partial))
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):  # it speaks of downloads
        builder.download_and_prepare(download_config=config)
    (folder / NAME).rmtree(missing_ok=True)
    (partial / NAME).rename(folder / NAME)
    partial.rmtree()


def is_dataset(folder: epath.PathLike) -> bool:
    """Whether `write` has finished a dataset in `folder`, local or `gs://`."""
    return (epath.Path(folder) / NAME / VERSION / "dataset_info.json").exists()


def open_dataset(folder: epath.PathLike) -> Any:
    """Opens a dataset for random access, with the shards checked for their lengths.

    Returns:
      A sequence of dictionaries of the features, text as bytes.

    Raises:
      InputError: no dataset, or a shard is missing, cut short, or not of the stated length.
    """
    folder = epath.Path(folder)
    if not is_dataset(folder):
        raise InputError(
            f"{folder}: no prepared dataset. Make one with python -m venhancer_jax.data.prepare"
        )
    builder = tfds.builder_from_directory(str(folder / NAME / VERSION))
    split = builder.info.splits[SPLIT]
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
