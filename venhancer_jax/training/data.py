"""The batches of a run, from what its config calls data."""

from typing import Any, Protocol

import jax
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from venhancer_jax.data.augment import AugmentConfig
from venhancer_jax.data.pipeline import training_pipeline
from venhancer_jax.data.records import is_dataset
from venhancer_jax.data.sources import FolderSource, PreparedSource, SyntheticSource
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.options import parse_fps


class DataIterator(Protocol):
    """Batches whose position can be saved."""

    def __next__(self) -> dict[str, np.ndarray]: ...

    def get_state(self) -> Any: ...

    def set_state(self, state: Any) -> None: ...


def batches(config: ConfigDict, data: str, *, seed: int, workers: int = 0) -> Any:
    """Endless batches of this process, whose `iter` is a `DataIterator`.

    Args:
      config: of `training_config`.
      data: a prepared data set, a folder of videos, or "synthetic".
      seed: of their order and of all chances.
      workers: subprocesses that decode.

    Raises:
      InputError: wrong values, or data that are not there.
    """
    chosen = config.augment.to_dict()
    augment = AugmentConfig(
        frames=config.frames,
        height=config.height,
        width=config.width,
        rate=parse_fps(config.fps) if config.fps else None,
        **chosen,
    )
    count = jax.process_count()
    if config.batch % count:
        raise InputError(f"batch {config.batch}: expected a multiple of the {count} processes")
    return training_pipeline(
        _source(data),
        augment,
        batch=config.batch // count,
        seed=seed,
        shard_index=jax.process_index(),
        shard_count=count,
        workers=workers,
    )


def _source(data: str) -> Any:
    if data == "synthetic":
        return SyntheticSource()
    folder = epath.Path(data)
    if not folder.is_dir():
        raise InputError(f"data {data!r}: expected a folder, or synthetic")
    return PreparedSource(folder) if is_dataset(folder) else FolderSource(folder)
