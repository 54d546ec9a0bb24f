"""Where the data go on when a run is resumed by another number of processes."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from training.saver import state_at

from venhancer_jax.data.augment import AugmentConfig
from venhancer_jax.data.pipeline import training_pipeline
from venhancer_jax.data.sources import SyntheticSource
from venhancer_jax.errors import InputError
from venhancer_jax.training.checkpoints import Checkpoints

BATCH, STEP = 6, 2


def _iterator(process: int, count: int) -> Any:
    config = AugmentConfig(frames=2, height=8, width=8)
    return iter(
        training_pipeline(
            SyntheticSource(),
            config,
            batch=BATCH // count,
            shard_index=process,
            shard_count=count,
        )
    )


def _batch(iterators: list[Any]) -> np.ndarray:
    """The videos of the next batch of all processes, in the order of the stream."""
    parts = [next(iterator)["video"] for iterator in iterators]
    return np.stack(parts, axis=1).reshape(BATCH, *parts[0].shape[1:])


def _saved(folder: Path, positions: list[Any]) -> Checkpoints:
    """A checkpoint with the positions that so many processes would have left."""
    checkpoints = Checkpoints(folder, save_every=1)
    checkpoints.save(state_at(STEP), STEP, {"iterator": positions[0]})
    checkpoints.wait()
    if len(positions) > 1:
        (folder / str(STEP) / "data" / "metadata").unlink()
        for i, position in enumerate(positions):
            file = folder / str(STEP) / "data" / f"process_{i}-of-{len(positions)}.json"
            file.write_text(json.dumps({"iterator": position}))
    return checkpoints


def _position(checkpoints: Checkpoints, process: int, count: int) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "process_index", lambda: process)
        patch.setattr(jax, "process_count", lambda: count)
        return checkpoints._position(STEP)["iterator"]


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3), (2, 2)])
def test_no_example_is_lost_or_repeated(before: int, after: int, tmp_path: Path):
    whole = [_iterator(0, 1)]
    wanted = [_batch(whole) for _ in range(STEP + 1)][-1]
    old = [_iterator(i, before) for i in range(before)]
    for _ in range(STEP):
        _batch(old)
    checkpoints = _saved(tmp_path, [it.get_state() for it in old])
    new = [_iterator(i, after) for i in range(after)]
    for i, iterator in enumerate(new):
        iterator.set_state(_position(checkpoints, i, after))

    np.testing.assert_array_equal(_batch(new), wanted)


def test_of_processes_that_skipped_examples_the_last_counts(tmp_path: Path):
    checkpoints = _saved(tmp_path, [{"next_index": 15}, {"next_index": 12}])

    assert _position(checkpoints, 0, 1) == {"next_index": 24}
    assert _position(checkpoints, 1, 2) == {"next_index": 12}


def test_checkpoint_of_an_earlier_version_is_refused(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path, save_every=1)
    checkpoints.save({"step": np.array(STEP)}, STEP, {})  # pyright: ignore[reportArgumentType]
    checkpoints.wait()

    with pytest.raises(InputError, match="saved by an earlier version"):
        checkpoints.restore(state_at(0))


def test_positions_of_workers_belong_to_their_number(tmp_path: Path):
    state = {"workers_state": {"0": {"next_index": 12}}, "last_worker_index": 0}
    checkpoints = _saved(tmp_path, [state, state])

    assert _position(checkpoints, 1, 2) == state
    with pytest.raises(InputError, match="saved by 2 processes, cannot resume with 1"):
        _position(checkpoints, 0, 1)
