"""The latent of a key frame on its way to all frames: noise, warp, mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.diffusion.reference import mask_patches, warp_to_frames
from venhancer_jax.diffusion.schedule import cosine_interpolated_schedule

HEIGHT, WIDTH, FRAMES = 90, 160, 5
# What a frame shows is in the key frame so many columns and rows further; the third is that frame.
SHIFTS = ((-7, 3), (-4, -1), (0, 0), (4, 2), (9, -6))
KEY = jax.random.key(0)
draw = np.random.default_rng(0).standard_normal
PICTURE = draw((2, HEIGHT, WIDTH, 4), np.float32)
NOISE = draw(PICTURE.shape, np.float32)
FLOW = np.broadcast_to(np.float32(SHIFTS)[None, :, None, None], (2, FRAMES, HEIGHT, WIDTH, 2))


def moved(x: np.ndarray, columns: int, rows: int) -> tuple[np.ndarray, tuple[slice, slice]]:
    """The part of a picture that a shift keeps, and where that part appears."""
    first = (
        slice(max(0, rows), HEIGHT + min(0, rows)),
        slice(max(0, columns), WIDTH + min(0, columns)),
    )
    last = (
        slice(max(0, -rows), HEIGHT - max(0, rows)),
        slice(max(0, -columns), WIDTH - max(0, columns)),
    )
    return x[:, first[0], first[1]], last


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    return np.asarray(cosine_interpolated_schedule().add_noise(PICTURE, NOISE, 249))


@pytest.fixture(scope="module")
def warped(noisy: np.ndarray) -> np.ndarray:
    return np.asarray(warp_to_frames(noisy, FLOW))


def test_a_whole_shift_moves_picture_and_noise(noisy: np.ndarray, warped: np.ndarray):
    schedule = cosine_interpolated_schedule()
    assert warped.shape == (2, FRAMES, HEIGHT, WIDTH, 4)
    for frame, (columns, rows) in enumerate(SHIFTS):
        kept, (own_rows, own_columns) = moved(noisy, columns, rows)
        inside = warped[:, frame, own_rows, own_columns]
        np.testing.assert_array_equal(inside, kept)
        outside = np.ones((HEIGHT, WIDTH), bool)
        outside[own_rows, own_columns] = False
        assert outside.sum() == HEIGHT * WIDTH - kept[0, ..., 0].size
        assert (warped[:, frame, outside] == 0).all()
        noise = inside - schedule.alphas[249] * moved(PICTURE, columns, rows)[0]
        np.testing.assert_allclose(
            noise, schedule.sigmas[249] * moved(NOISE, columns, rows)[0], atol=1e-5
        )


def test_a_shift_by_parts_of_latents_keeps_the_variance(noisy: np.ndarray):
    flow = draw((2, FRAMES, 1, 1, 2), np.float32) + 0.3 * draw(FLOW.shape, np.float32)

    warped = np.asarray(warp_to_frames(noisy, flow))[:, :, 8:-8, 8:-8]

    for frame in range(FRAMES):
        assert warped[:, frame].var() == pytest.approx(noisy.var(), rel=0.01)


def test_without_motion_every_frame_has_the_reference():
    frames = warp_to_frames(PICTURE, np.zeros_like(FLOW))
    frames = mask_patches(KEY, frames, jnp.zeros(2), 2)

    np.testing.assert_array_equal(frames, np.broadcast_to(PICTURE[:, None], frames.shape))


def test_masked_patches_are_zero_and_others_are_unchanged(warped: np.ndarray):
    latents = warped + 100  # nothing is 0 beforehand
    ratios = np.array([0.15, 0.5])

    masked = np.asarray(mask_patches(KEY, latents, ratios, 2))

    zero = masked == 0
    np.testing.assert_array_equal(masked[~zero], latents[~zero])
    cells = zero.reshape(2, FRAMES, HEIGHT // 2, 2, WIDTH // 2, 2, 4)
    whole = cells.all((3, 5, 6))
    assert (cells.any((3, 5, 6)) == whole).all()
    for video, ratio in enumerate(ratios):
        for frame in whole[video]:
            assert frame.mean() == pytest.approx(ratio, abs=0.03)
            # Neighbours are masked independently.
            assert (frame[1:] & frame[:-1]).mean() == pytest.approx(ratio**2, abs=0.03)
            assert (frame[:, 1:] & frame[:, :-1]).mean() == pytest.approx(ratio**2, abs=0.03)
    assert len(np.unique(whole.reshape(2 * FRAMES, -1), axis=0)) == 2 * FRAMES


def test_all_and_nothing_can_be_masked():
    latents = np.ones((2, 1, 8, 8, 4), np.float32)

    found = mask_patches(KEY, latents, np.array([1.0, 0.0]), 2)

    assert found.sum((1, 2, 3, 4)).tolist() == [0, 256]
