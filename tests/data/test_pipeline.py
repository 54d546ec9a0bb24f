import itertools
import json
import logging
from fractions import Fraction

import numpy as np
import pytest
from video.video_clips import make_video

from venhancer_jax.data.augment import AugmentConfig
from venhancer_jax.data.clips import ClipRules
from venhancer_jax.data.pipeline import training_pipeline
from venhancer_jax.data.prepare import prepare
from venhancer_jax.data.sources import (
    FolderSource,
    LatentSource,
    PreparedSource,
    SyntheticSource,
)
from venhancer_jax.errors import InputError

CONFIG = AugmentConfig(frames=5, height=32, width=48)
RULES = ClipRules(min_height=32, min_frames=6, min_fps=10)


class Numbered(SyntheticSource):
    """Clips whose caption is dropped never, and whose first pixel tells their number."""

    def __getitem__(self, index):
        clip = super().__getitem__(index)
        clip.read = lambda numbers: np.full((len(numbers), 8, 8, 3), index, np.uint8)
        return clip


def numbers(count, **options):
    """Numbers of the clips in the first `count` examples."""
    source = Numbered(length=11, frames=2, height=8, width=8)
    config = AugmentConfig(frames=2, height=8, width=8)
    dataset = training_pipeline(source, config, batch=1, seed=3, **options)
    return [int(batch["video"][0, 0, 0, 0, 0]) for batch in itertools.islice(dataset, count)]


def equal(a, b):
    assert set(a) == set(b)
    for key in a:
        np.testing.assert_array_equal(a[key], b[key])


def source():
    return SyntheticSource(length=7, frames=12, height=40, width=64)


def test_shapes():
    batch = next(iter(training_pipeline(source(), CONFIG, batch=3)))
    shapes = {key: (value.shape, value.dtype.name) for key, value in batch.items()}
    assert shapes == {
        "video": ((3, 5, 32, 48, 3), "uint8"),
        "low": ((3, 5, 32, 48, 3), "uint8"),
        "key_index": ((3, 5), "int32"),
        "scale": ((3,), "float32"),
        "noise_aug": ((3,), "int32"),
        "stride": ((3,), "int32"),
        "tokens": ((3, 77), "int32"),
    }


def test_deterministic_and_of_the_seed():
    a, b, c = (
        list(itertools.islice(training_pipeline(source(), CONFIG, batch=2, seed=seed), 5))
        for seed in (1, 1, 2)
    )
    for x, y in zip(a, b, strict=True):
        equal(x, y)
    assert any(not np.array_equal(x["video"], y["video"]) for x, y in zip(a, c, strict=True))


def test_each_epoch_is_complete_and_in_its_own_order():
    epochs = np.reshape(numbers(44), (4, 11))
    assert all(sorted(epoch) == list(range(11)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_shards_are_disjoint_and_complete():
    stream = numbers(44)
    shards = [numbers(22, shard_index=i, shard_count=2) for i in range(2)]
    assert shards == [stream[0::2], stream[1::2]]
    assert sorted(shards[0][:6] + shards[1][:5]) == list(range(11))


@pytest.mark.parametrize("stop", [0, 1, 4, 9])
def test_resume_is_bit_equal(stop):
    dataset = training_pipeline(source(), CONFIG, batch=2, seed=4)
    iterator = iter(dataset)
    for _ in range(stop):
        next(iterator)
    state = iterator.get_state()
    expected = [next(iterator) for _ in range(4)]
    resumed = iter(training_pipeline(source(), CONFIG, batch=2, seed=4))
    resumed.set_state(state)
    for batch in expected:
        equal(next(resumed), batch)


def test_workers_give_the_same_stream_and_resume(videos, tmp_path):
    """Of a prepared dataset, whose shards each worker opens."""
    prepare(videos, tmp_path / "out", rules=RULES)
    clips = PreparedSource(tmp_path / "out")
    expected = list(itertools.islice(training_pipeline(clips, CONFIG, batch=2, seed=4), 6))
    dataset = training_pipeline(clips, CONFIG, batch=2, seed=4, workers=2)
    iterator = iter(dataset)
    for batch in expected[:3]:
        equal(next(iterator), batch)
    state = json.loads(json.dumps(iterator.get_state()))
    resumed = iter(dataset)
    resumed.set_state(state)
    for batch in expected[3:]:
        equal(next(resumed), batch)


def test_frame_rate_is_exact():
    """Frames of 60 a second whose level is their number, taken at 24."""
    clips = Numbered(length=1, frames=30, height=8, width=8, rate=Fraction(60))
    clip = clips[0]
    clip.read = lambda numbers: np.broadcast_to(
        numbers.astype(np.uint8)[:, None, None, None], (len(numbers), 8, 8, 3)
    )
    config = AugmentConfig(frames=5, height=8, width=8, rate=Fraction(24))
    video = next(iter(training_pipeline([clip], config, batch=1)))["video"][0, :, 0, 0, 0]
    assert (video - video[0]).tolist() == [0, 3, 5, 8, 10]


def test_corrupt_and_short_clips_are_named(videos, scene, caplog):
    make_video(videos / "short.mp4", scene(3, 100))
    clips = FolderSource(videos)  # two.mp4, bad.mp4 and short.mp4
    with caplog.at_level(logging.WARNING):
        batches = list(itertools.islice(training_pipeline(clips, CONFIG, batch=1), 8))
    assert len(batches) == 8
    messages = [m for m in caplog.messages if m.startswith("skipped")]
    assert len(messages) == 2 and messages[1].endswith("(2 so far)")
    assert any(m.startswith("skipped bad.mp4: ") for m in messages)
    assert any("short.mp4: 3 frames, where an example takes 5" in m for m in messages)


def test_only_one_short_clip(tmp_path, scene):
    make_video(tmp_path / "short.mp4", scene(3, 100))
    iterator = iter(training_pipeline(FolderSource(tmp_path), CONFIG, batch=1))
    with pytest.raises(InputError, match=r"none of the 1 clips .* short.mp4: 3 frames"):
        next(iterator)


def test_empty_sources(tmp_path):
    for kind in (FolderSource, LatentSource):
        with pytest.raises(InputError, match="in this folder"):
            kind(tmp_path)
    with pytest.raises(InputError, match="no clip"):
        training_pipeline(SyntheticSource(length=0), CONFIG, batch=1)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"shard_index": 2, "shard_count": 2}])
def test_wrong_numbers(wrong):
    with pytest.raises(InputError, match="batch="):
        training_pipeline(source(), CONFIG, **({"batch": 1} | wrong))


def test_frames_of_a_folder_are_those_asked_for(tmp_path, scene):
    frames = scene(20, 120)
    make_video(tmp_path / "a.mp4", frames)
    (tmp_path / "a.txt").write_text("grain")
    clip = FolderSource(tmp_path)[0]
    read = clip.read(np.array([4, 7, 15]))
    for got, number in zip(read, (4, 7, 15), strict=True):
        errors = [np.abs(got - frame.astype(float)).mean() for frame in frames]
        assert int(np.argmin(errors)) == number
    assert clip.caption == "grain"


def test_prepared_dataset(videos, tmp_path):
    prepare(videos, tmp_path / "out", rules=RULES)
    batch = next(iter(training_pipeline(PreparedSource(tmp_path / "out"), CONFIG, batch=3)))
    # The three clips have levels 60, 190 and 120.
    assert sorted(np.round(batch["video"].mean((1, 2, 3, 4)), -1)) == [60, 120, 190]


def test_damaged_record_is_skipped(videos, tmp_path, caplog):
    prepare(videos, tmp_path / "out", rules=RULES)
    shard = next((tmp_path / "out" / "clips").rglob("*.array_record*"))
    data = shard.read_bytes()
    shard.write_bytes(data[:4000] + bytes(40) + data[4040:])
    dataset = training_pipeline(PreparedSource(tmp_path / "out"), CONFIG, batch=1)
    with caplog.at_level(logging.WARNING):
        assert len(list(itertools.islice(dataset, 6))) == 6
    messages = [m for m in caplog.messages if m.startswith("skipped clip")]
    assert len(messages) == 1 and "its record is damaged" in messages[0]


def test_latents(tmp_path):
    example = next(iter(training_pipeline(source(), CONFIG, batch=1)))
    arrays = {key: value[0] for key, value in example.items() if key != "noise_aug"}
    for i in range(3):
        np.savez(tmp_path / f"{i}.npz", **{**arrays, "video": np.full((5, 4, 6, 4), i, "f4")})
    (tmp_path / "bad.npz").write_bytes(b"PK")
    iterator = iter(training_pipeline(LatentSource(tmp_path), CONFIG, batch=3))
    first, second = next(iterator), next(iterator)
    assert sorted(first["video"][:, 0, 0, 0, 0]) == [0, 1, 2]
    assert first["video"].shape == (3, 5, 4, 6, 4)
    assert not np.array_equal(first["noise_aug"], second["noise_aug"])


def test_synthetic_clips_are_moving_waves():
    """Outside of the square: a sine over rows, columns and time in each channel."""
    (first, second), (again, _) = (
        SyntheticSource(height=24, width=30)[5].read(np.array([i, i + 1])) for i in (2, 3)
    )
    np.testing.assert_array_equal(second, again)
    rng = np.random.default_rng(5)
    across, down = rng.uniform(-0.3, 0.3, (2, 3))
    speed, phase = rng.uniform(-1, 1, 3), rng.uniform(0, 6, 3)
    rows, columns = np.mgrid[:24, :30]
    angle = rows[..., None] * down + columns[..., None] * across + 2 * speed + phase
    wave = (127.5 + 100 * np.sin(angle)).astype(np.uint8)
    square = (first != wave).any(-1)
    assert 0 < square.sum() <= 6 * 6
    np.testing.assert_array_equal(np.unique(first[square], axis=0), [255 - wave[0, 0]])
