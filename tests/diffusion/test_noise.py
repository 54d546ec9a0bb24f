"""Counter-based noise, and noise from a recording."""

import numpy as np
import pytest

from venhancer_jax.diffusion.noise import CounterNoise, RecordedNoise

SHAPE = (2, 6, 3, 4, 4)
WHOLE = np.asarray(CounterNoise(7)("solver", 3, SHAPE))


@pytest.mark.parametrize(("first", "frames"), [(0, 2), (2, 3), (5, 1)])
def test_a_frame_has_the_same_noise_in_any_window(first: int, frames: int):
    window = CounterNoise(7, first_frame=first)("solver", 3, (2, frames, *SHAPE[2:]))
    np.testing.assert_array_equal(window, WHOLE[:, first : first + frames])


def test_fewer_videos_have_the_noise_of_the_first():
    np.testing.assert_array_equal(CounterNoise(7)("solver", 3, (1, *SHAPE[1:])), WHOLE[:1])


@pytest.mark.parametrize(
    ("seed", "stream", "step"), [(8, "solver", 3), (7, "hint", 3), (7, "solver", 4)]
)
def test_another_seed_stream_or_step_has_other_noise(seed: int, stream: str, step: int):
    other = np.asarray(CounterNoise(seed)(stream, step, SHAPE))
    assert not np.isin(other, WHOLE).any()


def test_no_two_frames_or_videos_share_noise():
    assert len(np.unique(WHOLE)) == WHOLE.size


@pytest.mark.parametrize("stream", ["vae", "hint", "start", "solver"])
def test_every_stream_and_seed_is_normal(stream: str):
    noise = np.asarray(CounterNoise(2**32 - 1)(stream, 999, SHAPE))
    assert abs(noise.mean()) < 0.15
    assert abs(noise.std() - 1) < 0.15


def test_order_of_counters_matters():
    np.testing.assert_raises(
        AssertionError,
        np.testing.assert_array_equal,
        CounterNoise(0, first_frame=1)("hint", 0, (1, 1, 3, 4, 4)),
        CounterNoise(0)("hint", 1, (1, 1, 3, 4, 4)),
    )


def test_a_recording_is_replayed_by_stream_and_step():
    streams = {"a": np.arange(4.0).reshape(2, 1, 2), "b": np.ones((1, 1, 2))}
    noise = RecordedNoise(streams)
    np.testing.assert_array_equal(noise("a", 1, (1, 2)), [[2, 3]])
    np.testing.assert_array_equal(noise("b", 0, (1, 2)), [[1, 1]])


def test_a_recording_of_another_shape_is_refused():
    noise = RecordedNoise({"a": np.ones((2, 1, 2))})
    with pytest.raises(ValueError, match=r"'a' is \(1, 2\), the sampler wants \(1, 3\)"):
        noise("a", 0, (1, 3))
