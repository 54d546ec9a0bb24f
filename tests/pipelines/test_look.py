"""Colours and grain of the input, given to results."""

import itertools

import numpy as np
import pytest

from venhancer_jax.pipelines.look import InputLook
from venhancer_jax.pipelines.options import EnhanceOptions
from venhancer_jax.video.colour.colour_fix import correct_colours
from venhancer_jax.video.resize import to_signed

rng = np.random.default_rng(0)
INPUT = [
    (90 + 10 * i + 6 * rng.standard_normal((32, 48, 1)) + [20, 0, 0]).astype(np.uint8)
    for i in range(4)
]
RESULTS = rng.uniform(-0.6, 0.6, (7, 64, 96, 3)).astype(np.float32)
EVERYTHING = EnhanceOptions(grain=1.0, colour="wavelet")


def finished(options: EnhanceOptions, start: int, chunk: int, first: int = 0) -> np.ndarray:
    """Finishes the results from the input frame `start` on, a few at a time."""
    look = InputLook(options, colour=options.colour, start=start, stride=2)
    assert len(list(look.watch(INPUT[start:]))) == 4 - start
    results = RESULTS[2 * start + first :]
    parts = [results[i : i + chunk] for i in range(0, len(results), chunk)]
    return np.concatenate([*look.finish(parts, first)])


def test_a_segment_that_starts_later_looks_the_same():
    whole = finished(EVERYTHING, 0, 7)
    assert (whole != RESULTS).mean() > 0.9
    for start, chunk in itertools.product((0, 1, 2), (1, 3)):
        np.testing.assert_array_equal(finished(EVERYTHING, start, chunk), whole[2 * start :])


def test_frames_before_the_segment_are_left_alone():
    found = finished(EVERYTHING, 1, 2, first=-1)
    np.testing.assert_array_equal(found[0], RESULTS[1])
    np.testing.assert_array_equal(found[1:], finished(EVERYTHING, 0, 7)[2:])


def test_each_frame_has_grain_of_its_own():
    grain = finished(EnhanceOptions(grain=1.0), 0, 7) - RESULTS
    alike = np.corrcoef(grain[..., 0].reshape(7, -1))
    assert np.abs(alike - np.eye(7)).max() < 0.2
    half = finished(EnhanceOptions(grain=0.5), 0, 7) - RESULTS
    np.testing.assert_allclose(half.std(), grain.std() / 2, rtol=0.05)


@pytest.mark.parametrize("colour", ["wavelet", "adain", "lab"])
def test_frames_between_have_the_colours_of_both_neighbours(colour: str):
    found = finished(EnhanceOptions(colour=colour), 0, 3)
    first, second = (
        correct_colours(RESULTS[1:2], to_signed(frame)[None], colour)[0] for frame in INPUT[:2]
    )
    np.testing.assert_allclose(found[1], (first + second) / 2, atol=1e-5)
    key = correct_colours(RESULTS[2:3], to_signed(INPUT[1])[None], colour)[0]
    np.testing.assert_allclose(found[2], key, atol=1e-5)


def test_nothing_is_held_unless_it_is_requested():
    look = InputLook(EnhanceOptions())
    assert all(a is b for a, b in zip(look.watch(INPUT), INPUT, strict=True))
    assert not look._held
    (found,) = look.finish([RESULTS])
    assert found is RESULTS
    large = InputLook(EnhanceOptions(), colour="lab")
    list(large.watch([np.zeros((720, 1280, 3), np.uint8)]))
    (held,) = large._held
    assert held.colours is not None and held.colours.shape == (1, 144, 256, 3)
