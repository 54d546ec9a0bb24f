"""Batches of training examples: deterministic, sharded, endless, and resumable.

Example n of the stream is a function of the seed and of n alone. Each process takes every
`shard_count`-th example of one stream, so that processes share every epoch without overlap, and a
global batch has equal examples on any number of processes. The iterator of the dataset has
`get_state()` and `set_state(state)`; after the latter it resumes bit-equally, if the arguments are
equal.
"""

import functools
import logging
from typing import Any

import grain
import numpy as np
from absl import flags

from venhancer_jax.data.augment import (
    AugmentConfig,
    augment,
    check_size,
    crop,
    pick_frames,
    sample_noise_level,
    sample_text_dropout,
)
from venhancer_jax.data.sources import Clip, LatentClip
from venhancer_jax.errors import InputError
from venhancer_jax.text.tokenizer import tokenize

_log = logging.getLogger(__name__)
_AHEAD = 2
# Epochs of failures alone, after which clips that could be used before count as lost: a disk that
# is gone, not damage here and there.
_PATIENCE = 100
_LATENT_KEYS = ("video", "low", "key_index", "scale", "stride", "tokens")
# Arrays of precomputed examples that some objectives store besides.
OPTIONAL_KEYS = ("latents", "flow", "key_frame")


def training_pipeline(
    source: Any,
    config: AugmentConfig,
    *,
    batch: int,
    seed: int = 0,
    shard_index: int = 0,
    shard_count: int = 1,
    workers: int = 0,
) -> grain.IterDataset:
    """Creates endless batches of training examples, shuffled again in each epoch.

    Clips that are damaged, too short or too small are skipped, and logged once each.

    Args:
      source: one of the sources of `venhancer_jax.data.sources`.
      config: distribution of examples; for a `LatentSource` only noise levels and text dropout
        apply.
      batch: number of examples in a batch of this process.
      seed: seed of the order and of all random parameters.
      shard_index: index of this process.
      shard_count: number of processes.
      workers: number of subprocesses that decode, 0 for a thread. The order of examples does not
        depend on it unless clips are skipped, but a saved state does. A program with workers needs
        the guard `if __name__ == "__main__":`.

    Returns:
      Dataset of dictionaries with the arrays of `augment`, stacked to `[B, ...]`.

    Raises:
      InputError: an empty source or a wrong number; while iterating, when no clip of the source can
        be used.
    """
    if not len(source):
        raise InputError(f"{source}: no clip in this source")
    if batch < 1 or workers < 0 or not 0 <= shard_index < shard_count:
        raise InputError(
            f"batch={batch}, workers={workers}, shard {shard_index} of {shard_count}: expected a"
            " batch from 1 up, workers from 0 up, and a shard from 0 to less than their count"
        )
    examples = (
        grain.MapDataset.source(source)
        .shuffle(seed=seed % 2**32)
        .repeat()
        .map_with_index(ExampleMaker(config, seed=seed, clips=len(source)))
    )[shard_index::shard_count]
    dataset = examples.to_iter_dataset(
        grain.ReadOptions(num_threads=1, prefetch_buffer_size=_AHEAD)
    )
    if workers:
        if not flags.FLAGS.is_parsed():  # grain sends the flags to its workers
            flags.FLAGS.mark_as_parsed()
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=_AHEAD)
        )
    return dataset.batch(batch, drop_remainder=True)


class ExampleMaker:
    """Function from clips to examples, or to None for clips that cannot be used."""

    def __init__(self, config: AugmentConfig, *, seed: int, clips: int):
        self._config = config
        self._seed = seed
        self._clips = clips
        self._skipped: set[str] = set()
        self._used = False
        self._failed_since_used: set[str] = set()
        self._failures_since_used = 0

    def __call__(self, index: int, clip: Clip | LatentClip) -> dict[str, np.ndarray] | None:
        """Creates an example.

        Args:
          index: position of the example in the stream.
          clip: clip at that position.

        Raises:
          InputError: each clip of the source was skipped.
        """
        rng = np.random.default_rng((self._seed % 2**64, index))
        make = latent_example if isinstance(clip, LatentClip) else example
        try:
            created = make(clip, self._config, rng)  # pyright: ignore[reportArgumentType]
        except InputError as error:
            if clip.name not in self._skipped:
                self._skipped.add(clip.name)
                _log.warning("skipped %s: %s (%d so far)", clip.name, error, len(self._skipped))
            self._failed_since_used.add(clip.name)
            self._failures_since_used += 1
            rounds = _PATIENCE if self._used else 1
            if (
                len(self._failed_since_used) >= self._clips
                and self._failures_since_used >= rounds * self._clips
            ):
                raise InputError(
                    f"none of the {self._clips} clips can be used; the last, {clip.name}: {error}"
                ) from error
            return None
        self._used, self._failures_since_used = True, 0
        self._failed_since_used.clear()
        return created


def example(clip: Clip, config: AugmentConfig, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Creates a training example.

    Args:
      clip: clip to sample frames from.
      config: distribution of examples.
      rng: random generator.

    Raises:
      InputError: the clip is damaged, too short or too small.
    """
    facts = clip.facts()
    check_size(facts.height, facts.width, config)
    numbers = pick_frames(facts.frames, facts.rate, config, rng)
    return augment(crop(clip.read(numbers), config, rng), clip.caption, config, rng)


def latent_example(
    clip: LatentClip, config: AugmentConfig, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Creates a training example from precomputed arrays.

    Args:
      clip: arrays of a clip.
      config: distribution of noise levels and text dropout.
      rng: random generator.

    Raises:
      InputError: an array is missing, or the file is damaged.
    """
    arrays = clip.load()
    missing = [key for key in _LATENT_KEYS if key not in arrays]
    if missing:
        raise InputError(f"the file lacks the arrays {', '.join(missing)}")
    chosen = {key: arrays[key] for key in (*_LATENT_KEYS, *OPTIONAL_KEYS) if key in arrays}
    chosen["noise_aug"] = np.asarray(sample_noise_level(config, rng), np.int32)
    if sample_text_dropout(config, rng):
        chosen["tokens"] = _empty_text()
    return chosen


@functools.cache
def _empty_text() -> np.ndarray:
    return tokenize([""])[0]
