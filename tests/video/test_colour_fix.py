"""Colour correction against its formulas."""

import numpy as np
import pytest

from venhancer_jax.video import resize
from venhancer_jax.video.colour.cielab import rgb_to_lab
from venhancer_jax.video.colour.colour_fix import (
    COLOURS,
    adain,
    blur,
    correct_colours,
    lab,
    wavelet,
    wavelet_split,
)

rng = np.random.default_rng(0)
FRAMES = rng.standard_normal((2, 20, 24, 3), np.float32)
ROWS, COLUMNS = np.mgrid[:96, :128]
# A smooth picture in [-1, 1] with details of its own.
PICTURE = np.stack([ROWS / 60 - 0.8, COLUMNS / 80 - 0.8, 0.6 - ROWS / 96], -1)[None]
PICTURE = (PICTURE * 0.8 + 0.05 * rng.standard_normal(PICTURE.shape)).astype(np.float32)
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
    frames = 20 + 50 * rng.random((1, 1080, 1920, 1), np.float32)
    source = np.flip(frames, 1) ** 2
    found = adain(frames, source).astype(np.float64)
    expected = source.std((1, 2), ddof=1, dtype=np.float64)
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


def cast(frames: np.ndarray) -> np.ndarray:
    """Warms frames, and takes half of their contrast in blue."""
    return frames * np.float32([1, 0.9, 0.5]) + np.float32([0.12, 0, -0.15])


def colour_error(frames: np.ndarray) -> float:
    """Mean distance of large areas in CIELAB."""
    areas = [rgb_to_lab(resize.resize_area(x, (6, 8))) for x in (frames, PICTURE)]
    return float(np.sqrt(np.square(areas[0] - areas[1]).sum(-1)).mean())


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("shrunk", [1, 4])
def test_a_cast_is_removed(colour: str, shrunk: int):
    source = resize.resize_area(PICTURE, (96 // shrunk, 128 // shrunk))
    before = cast(PICTURE)
    after = correct_colours(before, source, colour)
    assert (after is before) == (colour == "none")
    if colour != "none":
        assert colour_error(after) < 0.5 * colour_error(before)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_shrunk_source_is_as_good_as_a_whole_one(colour: str):
    small = correct_colours(cast(PICTURE), resize.resize_area(PICTURE, (24, 32)), colour)
    whole = correct_colours(cast(PICTURE), PICTURE, colour)
    np.testing.assert_allclose(small, whole, atol=0.08)


def test_lab_keeps_the_details_of_luma():
    dark = cast(PICTURE) - 0.1
    change = (rgb_to_lab(lab(dark, PICTURE)) - rgb_to_lab(dark))[..., 0]
    np.testing.assert_allclose(change, change.mean(), atol=1e-3)
    assert abs(change.mean()) > 1


def test_lab_leaves_grey_grey():
    """The spread of next to nothing is not that of the source."""
    grey = np.repeat(PICTURE[..., :1], 3, -1) + 0.001 * PICTURE
    found = rgb_to_lab(lab(grey, PICTURE))[..., 1:]
    assert found.std((0, 1, 2)).max() < 1


@pytest.mark.parametrize("colour", ["adain", "lab"])
def test_details_and_grain_do_not_change_colours(colour: str):
    """They differ from frame to frame; the colours under them must not flicker."""
    source = resize.resize_area(PICTURE, (24, 32))
    grainy = cast(PICTURE) + 0.1 * rng.standard_normal(PICTURE.shape).astype(np.float32)
    clean = cast(PICTURE)
    change = correct_colours(grainy, source, colour) - grainy
    change -= correct_colours(clean, source, colour) - clean
    assert np.abs(resize.resize_area(change, (3, 4))).max() < 0.03
