"""From a source of clips to batches: deterministic, sharded, endless, and resumable.

Example number n of the stream is a function of the seed and of n alone. Processes take every
`shard_count`-th example of the one stream, so that they share every epoch without overlap, and a
global batch holds the same examples on any number of them. The iterator of the dataset has
`get_state()` and `set_state(state)`; after the latter it goes on bit-equally, given the same
arguments.
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
    draw_noise_level,
    draw_text_dropout,
    pick_frames,
)
from venhancer_jax.data.sources import Clip, LatentClip
from venhancer_jax.errors import InputError
from venhancer_jax.text.tokenizer import tokenize

_log = logging.getLogger(__name__)
_AHEAD = 2
# Rounds of failures of clips that could be used before: damage here and there goes by, a disk
# that is gone does not.
_PATIENCE = 100
_LATENT_KEYS = ("video", "low", "key_index", "scale", "stride", "tokens")


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
    """Endless batches of training examples, shuffled anew in each epoch.

    Clips that are damaged, too short or too small are left out, named once each in the log and
    counted.

    Args:
      source: of `venhancer_jax.data.sources`.
      config: of the examples; of a `LatentSource` only noise levels and text dropout apply.
      batch: examples of a batch of this process.
      seed: of the order and of all chances.
      shard_index: of this process.
      shard_count: processes.
      workers: subprocesses that decode; 0 for a thread. The order does not depend on it unless
        clips are left out, but a saved state does. A program with workers needs the guard
        `if __name__ == "__main__":`.

    Returns:
      Dataset of dictionaries of the arrays of `augment`, stacked to `[B, ...]`.

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
    """Makes examples out of clips, and None out of clips that cannot be used."""

    def __init__(self, config: AugmentConfig, *, seed: int, clips: int):
        self._config = config
        self._seed = seed
        self._clips = clips
        self._skipped: set[str] = set()
        self._used = False
        self._failed_since_used: set[str] = set()
        self._failures_since_used = 0

    def __call__(self, index: int, clip: Clip | LatentClip) -> dict[str, np.ndarray] | None:
        """The example number `index` of the stream.

        Raises:
          InputError: each clip of the source was left out, and none of them can be used.
        """
        rng = np.random.default_rng((self._seed % 2**64, index))
        make = latent_example if isinstance(clip, LatentClip) else example
        try:
            made = make(clip, self._config, rng)  # pyright: ignore[reportArgumentType]
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
        return made


def example(clip: Clip, config: AugmentConfig, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One training example of a clip; InputError if the clip is damaged, too short or too small."""
    facts = clip.facts()
    check_size(facts.height, facts.width, config)
    numbers = pick_frames(facts.frames, facts.rate, config, rng)
    return augment(crop(clip.read(numbers), config, rng), clip.caption, config, rng)


def latent_example(
    clip: LatentClip, config: AugmentConfig, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """One training example of precomputed arrays; InputError if one of them is missing."""
    arrays = clip.load()
    missing = [key for key in _LATENT_KEYS if key not in arrays]
    if missing:
        raise InputError(f"the file lacks the arrays {', '.join(missing)}")
    chosen = {key: arrays[key] for key in _LATENT_KEYS}
    chosen["noise_aug"] = np.asarray(draw_noise_level(config, rng), np.int32)
    if draw_text_dropout(config, rng):
        chosen["tokens"] = _empty_text()
    return chosen


@functools.cache
def _empty_text() -> np.ndarray:
    return tokenize([""])[0]
