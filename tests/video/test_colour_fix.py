"""Colour correction against its formulas."""

import numpy as np
import pytest

from venhancer_jax.video.colour.colour_fix import adain, blur, wavelet, wavelet_split

rng = np.random.default_rng(0)
FRAMES = rng.standard_normal((2, 20, 24, 3), np.float32)
SOURCE = 3 + 2 * rng.standard_normal((2, 20, 24, 3), np.float32)


def test_adain_gives_each_channel_of_each_frame_the_moments_of_the_source():
    found = adain(FRAMES * np.float32([1, 2, 3]), SOURCE)
    np.testing.assert_allclose(found.mean((1, 2)), SOURCE.mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(found.std((1, 2)), SOURCE.std((1, 2)), rtol=1e-4)


def test_adain_of_a_constant_is_the_mean_of_the_source():
    found = adain(np.zeros_like(FRAMES), SOURCE)
    means = SOURCE.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(found, np.broadcast_to(means, found.shape), atol=1e-5)


def test_adain_of_large_frames_is_exact():
    frames = 20 + 50 * rng.random((1, 1080, 1920, 3), np.float32)
    found = adain(frames, FRAMES[:1]).astype(np.float64)
    expected = FRAMES[:1].std((1, 2), ddof=1, dtype=np.float64)
    np.testing.assert_allclose(found.std((1, 2), ddof=1), expected, rtol=1e-4)


@pytest.mark.parametrize("reach", [1, 4, 16])
def test_blur_repeats_the_edge_even_beyond_the_frame(reach: int):
    frames = FRAMES[:, :6, :9]
    sides = (0, 0), (reach, reach), (reach, reach), (0, 0)
    padded = np.pad(frames, sides, mode="edge")
    expected = np.zeros_like(frames)
    for i, row in enumerate((1, 2, 1)):
        for j, column in enumerate((1, 2, 1)):
            part = padded[:, i * reach :][:, :6][:, :, j * reach :][:, :, :9]
            expected += row * column / 16 * part
    np.testing.assert_allclose(blur(frames, reach), expected, atol=1e-6)


def test_wavelet_joins_details_and_colours():
    high, low = wavelet_split(FRAMES)
    np.testing.assert_allclose(high + low, FRAMES, atol=1e-6)
    blurred = FRAMES
    for reach in (1, 2, 4, 8, 16):
        blurred = blur(blurred, reach)
    np.testing.assert_allclose(low, blurred, atol=1e-6)
    expected = high + wavelet_split(SOURCE)[1]
    np.testing.assert_allclose(wavelet(FRAMES, SOURCE), expected, atol=1e-6)
    # Colours leave the range of a picture; only what saves frames clips them.
    assert wavelet(FRAMES, SOURCE).max() > 1
