"""The batches of a run: from `config.data` to arrays."""

import dataclasses
from typing import Any, Protocol

import jax
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from venhancer_jax.data.augment import AugmentConfig
from venhancer_jax.data.pipeline import OPTIONAL_KEYS, training_pipeline
from venhancer_jax.data.records import is_dataset
from venhancer_jax.data.sources import (
    FolderSource,
    LatentSource,
    PreparedSource,
    SyntheticSource,
)
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.options import parse_fps
from venhancer_jax.training.tasks import objective_spec


class DataIterator(Protocol):
    """An iterator of batches whose position can be saved."""

    def __next__(self) -> dict[str, np.ndarray]: ...

    def get_state(self) -> Any: ...

    def set_state(self, state: Any) -> None: ...


def batches(
    config: ConfigDict, data: str, *, seed: int, workers: int = 0, held_out: bool = False
) -> Any:
    """Creates endless batches of this process; their `iter` is a `DataIterator`.

    Args:
      config: config of `training_config`.
      data: prepared data set, folder of videos or of latents, or "synthetic".
      seed: seed of the order and of the augmentation.
      workers: number of processes that decode.
      held_out: whether synthetic clips are others than those of training.

    Raises:
      InputError: wrong values, or no data there.
    """
    augment = augment_config(config)
    if pixels := objective_spec(config).pixels_of_flow(config):
        key_frame = "middle" if held_out else "random"
        augment = dataclasses.replace(augment, flow_pixels=pixels, flow_key_frame=key_frame)
    count = jax.process_count()
    if config.batch % count:
        raise InputError(f"batch {config.batch}: expected a multiple of the {count} processes")
    return training_pipeline(
        _source(data, held_out=held_out),
        augment,
        batch=config.batch // count,
        seed=seed,
        shard_index=jax.process_index(),
        shard_count=count,
        workers=workers,
    )


def batch_shapes(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    """Computes shapes and types of a batch of all processes together, as `batches` loads it.

    Args:
      config: config of `training_config`; its `frames`, `height` and `width` are the shape of
        videos, while latents have a stored shape.

    Raises:
      InputError: latents, where the objective needs pixels.
    """
    b, f = config.batch, config.frames
    video = jax.ShapeDtypeStruct((b, f, config.height, config.width, 3), np.uint8)
    low = jax.ShapeDtypeStruct((b, f, *augment_config(config).low_size, 3), np.uint8)
    stored = {}
    spec = objective_spec(config)
    if pixels := spec.pixels_of_flow(config):
        size = config.height // pixels, config.width // pixels
        stored["flow"] = jax.ShapeDtypeStruct((b, f, *size, 2), np.float32)
        stored["key_frame"] = jax.ShapeDtypeStruct((b,), np.int32)
    if isinstance(source := _source(config.data), LatentSource):
        arrays = source[0].load()
        missing = [name for name in stored if name not in arrays]
        if missing:
            raise InputError(
                f"data {config.data!r} lacks the arrays {', '.join(missing)}: precompute latents"
                f" with config.system={config.system}"
            )
        names = ("video", "low", *(name for name in OPTIONAL_KEYS if name in arrays))
        stored = {n: jax.ShapeDtypeStruct((b, *arrays[n].shape), arrays[n].dtype) for n in names}
        holds_frames = stored["video"].dtype == np.uint8
        if not holds_frames and spec.needs_frames(config):
            raise InputError(
                f"data {config.data!r} holds latents, but objective {config.objective!r} with"
                " these weights of the loss needs frames"
            )
    return {
        "video": video,
        "low": low,
        **stored,
        "key_index": jax.ShapeDtypeStruct(stored.get("video", video).shape[:2], np.int32),
        "scale": jax.ShapeDtypeStruct((b,), np.float32),
        "stride": jax.ShapeDtypeStruct((b,), np.int32),
        "noise_aug": jax.ShapeDtypeStruct((b,), np.int32),
        "tokens": jax.ShapeDtypeStruct((b, 77), np.int32),
    }


def count_examples(data: str) -> int | None:
    """Counts the clips of an epoch; None for synthetic data, which have no end.

    Raises:
      InputError: no data there.
    """
    return None if data == "synthetic" else len(_source(data))


def augment_config(config: ConfigDict) -> AugmentConfig:
    """Returns the distribution of the training examples of a config.

    Raises:
      InputError: wrong values.
    """
    return AugmentConfig(
        frames=config.frames,
        height=config.height,
        width=config.width,
        rate=parse_fps(config.fps) if config.fps else None,
        **config.augment.to_dict(),
    )


def _source(data: str, *, held_out: bool = False) -> Any:
    if data == "synthetic":
        whole = SyntheticSource()
        return dataclasses.replace(whole, first=len(whole)) if held_out else whole
    folder = epath.Path(data)
    if not folder.is_dir():
        raise InputError(f"data {data!r}: expected a folder, or synthetic")
    if is_dataset(folder):
        return PreparedSource(folder)
    return LatentSource(folder) if any(folder.glob("*.npz")) else FolderSource(folder)
