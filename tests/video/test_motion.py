"""Frames between frames."""

from fractions import Fraction

import numpy as np
import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.video.motion import interpolate_frames


def picture(shift: float, seed: int = 0, size: tuple[int, int] = (48, 80)) -> np.ndarray:
    """A smooth pattern `[H, W, 3]` moved to the right by so many pixels."""
    y, x = np.indices(size, np.float64)
    random = np.random.default_rng(seed)
    waves = random.uniform(0.05, 0.5, (8, 2)) * random.choice([-1, 1], (8, 2))
    phases = random.uniform(0, 6, 8)
    value = sum(
        np.sin(a * (x - shift) + b * y + c) for (a, b), c in zip(waves, phases, strict=True)
    )
    return np.stack([128 + 14 * value, 128 - 10 * value, 128 + 7 * value], -1).astype(np.uint8)


@pytest.mark.parametrize("speed", [4, -6])
def test_frames_follow_the_motion(speed: int):
    first, second = picture(0), picture(speed)
    times = [Fraction(1, 4), 0.5, 0.75]

    made = interpolate_frames(first, second, times)

    assert [frame.dtype for frame in made] == [np.uint8] * 3
    inside = np.s_[8:-8, 12:-12]
    for frame, time in zip(made, times, strict=True):
        target = picture(float(time) * speed)[inside].astype(float)
        error = np.abs(frame[inside] - target).mean()
        mixed = (1 - float(time)) * first[inside] + float(time) * second[inside]
        assert error < 3
        assert error < 0.3 * np.abs(mixed - target).mean()


def test_sixteen_bits_stay():
    first, second = picture(0), picture(4)
    (fine,) = interpolate_frames(
        first.astype(np.uint16) * 257, second.astype(np.uint16) * 257, [0.5]
    )
    (coarse,) = interpolate_frames(first, second, [0.5])
    assert fine.dtype == np.uint16
    assert np.abs(fine / 257 - coarse).max() < 0.6
    assert len(np.unique(fine % 257)) > 9


def test_a_still_scene_stays():
    frame = picture(0)

    (made,) = interpolate_frames(frame, frame, [0.5])

    assert np.abs(made.astype(int) - frame).max() <= 1


def test_a_cut_is_not_mixed():
    first, second = np.full((32, 48, 3), 10, np.uint8), np.full((32, 48, 3), 240, np.uint8)

    early, late = interpolate_frames(first, second, [0.25, 0.75])

    assert (early == first).all()
    assert (late == second).all()


def test_too_small_frames_are_told():
    with pytest.raises(InputError, match="16 pixels"):
        interpolate_frames(picture(0, size=(8, 80)), picture(1, size=(8, 80)), [0.5])
