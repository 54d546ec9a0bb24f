"""Propagation along flow, against recordings and on scenes whose true flow is known."""

from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from venhancer_jax.convert.parity.recording import find
from venhancer_jax.convert.parity.upscale_a_video.diffusion import replay_propagation
from venhancer_jax.diffusion import propagation
from venhancer_jax.diffusion.propagation import propagate, warp

GOLDEN = Path(__file__).parents[1] / "goldens/upscale_a_video/propagation.safetensors"
FRAMES, SIZE, STEP = 16, 48, (0, 1)  # rows and columns per frame
rng = np.random.default_rng(0)
# A scene larger than the frames, seen through a window that moves.
SCENE = rng.standard_normal((SIZE + FRAMES * STEP[0], SIZE + FRAMES * STEP[1], 4), np.float32)
CLEAN = np.stack([SCENE[i * STEP[0] :, i * STEP[1] :][:SIZE, :SIZE] for i in range(FRAMES)])[None]
NOISY = CLEAN + 0.5 * rng.standard_normal(CLEAN.shape, np.float32)
# What moves left and up in the frame: from each frame to the next, and back.
FORWARD = np.broadcast_to(-np.float32(STEP[::-1]), (FRAMES - 1, SIZE, SIZE, 2))
BACKWARD = -FORWARD
consistency_mask = jax.jit(propagation.consistency_mask)


def along_flow(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of all frames but the last, and their places in the next frames."""
    rows, columns = STEP
    return x[0, :-1, rows:, columns:], x[0, 1:, : SIZE - rows, : SIZE - columns]


def warping_error(x: np.ndarray) -> float:
    before, after = along_flow(x)
    return float(np.square(before - after).mean())


@pytest.fixture(scope="module")
def propagated() -> np.ndarray:
    return np.asarray(propagate(NOISY, FORWARD, BACKWARD))


def test_recordings():
    (recording,) = find([str(GOLDEN)])
    cases = replay_propagation(recording)
    assert len(cases) == 8
    assert [case.name for case in cases if not case.passed] == []


def test_frames_of_a_moving_scene_agree_after_propagation(propagated: np.ndarray):
    assert warping_error(propagated) <= 0.05 * warping_error(NOISY)


def test_noise_falls(propagated: np.ndarray):
    # Where the scene enters the frame there is less to average.
    assert (propagated - CLEAN).var() <= 0.25 * (NOISY - CLEAN).var()


def test_true_flows_are_consistent():
    """True flow is consistent but where it leaves the frame and meets zeros, further than alpha."""
    rows, columns = STEP
    mask = np.asarray(consistency_mask(FORWARD, BACKWARD))[..., 0]
    inside = np.zeros((SIZE, SIZE), bool)
    inside[rows:, columns:] = True
    assert (mask == inside).all()


def test_little_crosses_a_cut():
    """Flows between unrelated frames point anywhere, so that few lead back."""
    cut = FRAMES // 2
    forward, backward = np.array(FORWARD), np.array(BACKWARD)
    patches = 12 * rng.standard_normal((2, SIZE // 4, SIZE // 4, 2), np.float32)
    forward[cut - 1], backward[cut - 1] = patches.repeat(4, 1).repeat(4, 2)
    for pair in ((forward, backward), (backward, forward)):
        assert consistency_mask(*(flow[cut - 1 : cut] for flow in pair)).mean() <= 0.01
    frames = NOISY.copy()
    frames[:, cut:] += 100
    found = np.asarray(propagate(frames, forward, backward))
    # A frame takes at most half of a neighbour.
    assert (found[:, cut - 1] > 10).any(-1).mean() <= 0.01
    assert (found[:, cut] < 90).any(-1).mean() <= 0.01


def test_passes_follow_each_other():
    """One pixel per frame without motion: the formula, from the last frame and then back."""
    x = np.float32([1, 5, 2, 8]).reshape(1, 4, 1, 1, 1)
    still = np.zeros((3, 1, 1, 2), np.float32)
    values = [float(v) for v in x.ravel()]
    for i in (2, 1, 0):
        values[i] = 0.25 * values[i + 1] + 0.75 * values[i]
    for i in (1, 2, 3):
        values[i] = 0.25 * values[i - 1] + 0.75 * values[i]
    found = propagate(x, still, still, beta=0.25)
    np.testing.assert_allclose(np.ravel(found), values, rtol=1e-6)


def test_videos_are_independent():
    pair = np.concatenate([NOISY, CLEAN])
    one = np.asarray(propagate(CLEAN, FORWARD, BACKWARD))
    np.testing.assert_allclose(propagate(pair, FORWARD, BACKWARD)[1:], one, atol=1e-6)


def test_one_frame_stays():
    frame, flows = NOISY[:, :1], np.zeros((0, SIZE, SIZE, 2), np.float32)
    np.testing.assert_array_equal(propagate(frame, flows, flows), frame)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_far_flow_warps_zeros(interpolation: str):
    far = np.full((1, SIZE, SIZE, 2), 1e20, np.float32)
    warped = jax.jit(partial(warp, interpolation=interpolation))(CLEAN[:, 0], far)
    assert not np.asarray(warped).any()


@pytest.mark.parametrize("width", [1, 2, 24, 28, 60])
def test_halves_go_to_the_even_pixel_after_normalisation(width: int):
    """Half-pixel positions, rounded as NumPy rounds operation by operation."""
    x = np.arange(1, width + 1, dtype=np.float32).reshape(1, 1, width, 1)
    flow = np.zeros((1, 1, width, 2), np.float32)
    flow[..., 0] = 0.5
    last = np.float32(max(width - 1, 1))
    normalised = 2 * (np.arange(width, dtype=np.float32) + np.float32(0.5)) / last - 1
    nearest = np.round((normalised + 1) / 2 * last).astype(int)
    expected = [int(x[0, 0, i, 0]) if i < width else 0 for i in nearest]
    assert np.ravel(jax.jit(warp)(x, flow)).tolist() == expected
