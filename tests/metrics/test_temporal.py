"""Measures of steadiness: zero where they must be, and known elsewhere."""

import importlib

import numpy as np
import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.metrics import flicker, tof, warping_error
from venhancer_jax.metrics.temporal import occluded
from venhancer_jax.video.flow import dis_flow, lands_inside, warp


def flickering(frames: np.ndarray, amplitude: int) -> np.ndarray:
    """Brighter and darker in turn."""
    sign = np.where(np.arange(len(frames)) % 2, -1, 1).reshape(-1, 1, 1, 1)
    return np.clip(frames.astype(int) + amplitude * sign, 0, 255).astype(np.uint8)


def test_flow_finds_a_translation(moving: np.ndarray) -> None:
    flow = dis_flow(moving[0], moving[1])
    np.testing.assert_allclose(np.median(flow, axis=(0, 1)), [2, 1], atol=0.05)
    moved = warp(moving[1], flow)[8:-8, 8:-8]
    assert np.abs(moved - moving[0, 8:-8, 8:-8]).mean() < 1


def test_warp_fetches_from_the_end_of_the_flow(picture: np.ndarray) -> None:
    flow = np.broadcast_to(np.float32([3, -2]), (192, 208, 2))
    moved = warp(picture, flow)
    np.testing.assert_array_equal(moved[2:, :-3], picture[:-2, 3:])
    inside = lands_inside(flow)
    assert inside[2:, :-3].all() and inside.sum() == 190 * 205


def test_warping_error_of_a_translation_is_none(moving: np.ndarray) -> None:
    assert warping_error(moving, moving).shape == (4,)
    assert (warping_error(moving, moving) < 2e-6).all()


def test_warping_error_is_the_square_of_flicker() -> None:
    still = np.repeat(np.random.default_rng(2).integers(50, 200, (1, 64, 64, 3)), 3, 0)
    still = still.astype(np.uint8)
    expected = (20 / 255) ** 2  # from +10 to -10
    np.testing.assert_allclose(warping_error(flickering(still, 10), still), expected, rtol=1e-4)
    assert (warping_error(still, still) < 1e-12).all()


def test_warping_error_follows_the_target(moving: np.ndarray) -> None:
    frozen = np.repeat(moving[:1], 5, 0)
    # A still picture is steady by its own flow, but not by that of what it should be.
    assert (warping_error(frozen, frozen) < 1e-12).all()
    assert (warping_error(frozen, moving) > 1e-3).all()


def test_occlusion() -> None:
    forward = np.zeros((32, 48, 2), np.float32)
    assert not occluded(forward, forward).any()
    # The later frame's left half comes from 4 pixels to the left, where nothing goes right.
    backward = forward.copy()
    backward[:, :24, 0] = -4
    hidden = occluded(forward, backward)
    assert hidden[:, :23].all() and not hidden[:, 24:].any()
    # Flow forth and back that cancel, on a slope, are a boundary of motion where it is steep.
    for steepness, boundary in ((0.01, False), (1.0, True)):
        ramp = np.zeros((32, 48, 2), np.float32)
        ramp[..., 1] = 0.3 * (np.arange(48) % 2) * steepness
        assert occluded(-ramp, ramp)[4:-4, 4:-4].all() == boundary
    # What comes from outside.
    outside = np.full((32, 48, 2), (0.5, 0), np.float32)
    np.testing.assert_array_equal(np.nonzero(occluded(-outside, outside)[5])[0], [47])


def test_wholly_occluded_frames_have_no_error(
    moving: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporal = importlib.import_module("venhancer_jax.metrics.temporal")
    monkeypatch.setattr(temporal, "occluded", lambda f, b: np.ones(f.shape[:2], bool))
    assert np.isnan(warping_error(moving, moving)).all()


def test_tof(moving: np.ndarray) -> None:
    assert (tof(moving, moving) == 0).all()
    # Without motion, where the target moves by (2, 1).
    distances = tof(np.repeat(moving[:1], 5, 0), moving)
    np.testing.assert_allclose(distances, np.sqrt(5), atol=0.05)
    # Twice as fast; the mean is of distances, not of their components.
    np.testing.assert_allclose(tof(moving[:4:2], moving[:2]), np.sqrt(5), atol=0.1)


def test_flicker_is_four_times_the_amplitude() -> None:
    fade = np.arange(100, 105, dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones((8, 8, 3), np.uint8)
    np.testing.assert_allclose(flicker(flickering(fade, 7), fade), [28] * 3, atol=1e-9)
    np.testing.assert_allclose(flicker(fade, flickering(fade, 7)), [-28] * 3, atol=1e-9)
    np.testing.assert_allclose(flicker(fade, fade), 0, atol=1e-12)
    # Of luma: green weighs 0.7152.
    green = fade.copy()
    green[..., 1] = flickering(fade, 7)[..., 1]
    np.testing.assert_allclose(flicker(green, fade), 0.7152 * 28, atol=1e-9)


@pytest.mark.parametrize(("measure", "least"), [(warping_error, 2), (tof, 2), (flicker, 3)])
def test_too_few_frames_are_told(moving: np.ndarray, measure, least: int) -> None:
    with pytest.raises(InputError, match=f"{least - 1} frames.*{least}"):
        measure(moving[: least - 1], moving[: least - 1])


def test_too_small_frames_are_told(moving: np.ndarray) -> None:
    with pytest.raises(InputError, match="112x15"):
        tof(moving[:, :15], moving[:, :15])
