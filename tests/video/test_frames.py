"""Frames of other programs become RGB of 8 or 16 bits, or are refused."""

import numpy as np
import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.video.frames import as_rgb, as_rgb8, as_rgb16, with_dtype

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_rgb(dtype: type):
    frame = RGB if dtype == np.uint8 else (RGB / 255).astype(dtype)
    found = as_rgb8(frame)
    assert found.dtype == np.uint8 and found.flags.c_contiguous
    np.testing.assert_array_equal(found, RGB)


def test_floats_are_rounded():
    frame = np.float32([[0.4, 0.6, 254.9]])[None] / 255
    assert as_rgb8(frame).tolist() == [[[0, 1, 255]]]


def test_a_hair_beyond_the_range_is_clipped():
    frame = np.full((2, 2, 3), 1.00005)
    frame[0] = -0.00005
    assert np.unique(as_rgb8(frame)).tolist() == [0, 255]


def test_sixteen_bits():
    deep = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), np.uint16)
    for frame in (deep, deep / 65535):
        np.testing.assert_array_equal(as_rgb16(frame), deep)
    assert as_rgb(deep).dtype == np.uint16 and as_rgb(RGB).dtype == np.uint8
    np.testing.assert_array_equal(as_rgb16(RGB), 257 * RGB.astype(np.uint16))
    np.testing.assert_array_equal(as_rgb8(as_rgb16(RGB)), RGB)
    np.testing.assert_array_equal(as_rgb8(deep), np.rint(deep / 257))


def test_the_type_is_that_of_the_first_frame():
    dtype, frames = with_dtype(iter([RGB.astype(np.uint16), RGB]))
    assert dtype == np.uint16 and len(list(frames)) == 2
    assert with_dtype([])[0] == np.uint8


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1)])
@pytest.mark.parametrize("scale", [1, 255.0])
def test_grey_is_repeated(shape: tuple[int, ...], scale: float):
    grey = RGB[..., 0]
    frame = (grey if scale == 1 else grey / scale).reshape(shape)
    np.testing.assert_array_equal(as_rgb8(frame), grey[..., None].repeat(3, -1))


@pytest.mark.parametrize("scale", [1, 255.0])
def test_alpha_is_dropped(scale: float):
    rgba = np.concatenate([RGB, np.zeros((5, 7, 1), np.uint8)], -1)
    np.testing.assert_array_equal(as_rgb8(rgba if scale == 1 else rgba / scale), RGB)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((5, 7, 2), np.uint8), r"uint8 \[5, 7, 2\]: expected \[H, W, 3\]"),
        (np.zeros((1, 5, 7, 3), np.uint8), r"uint8 \[1, 5, 7, 3\]"),
        (np.zeros((3,), np.uint8), r"uint8 \[3\]"),
        (np.zeros((0, 7, 3), np.uint8), r"uint8 \[0, 7, 3\]"),
        (np.zeros((5, 7, 3), np.uint32), r"uint32 \[5, 7, 3\]: expected uint8, uint16"),
        (np.zeros((5, 7, 3), np.int64), "int64"),
        (np.zeros((5, 7, 3), bool), "bool"),
        (np.full((5, 7, 3), 128.0), r"from 128 to 128: .* Divide them by the largest"),
        (np.full((5, 7, 3), -0.5), "from -0.5"),
        (np.full((5, 7, 3), np.nan), "from nan"),
        (np.full((5, 7, 3), np.inf), "to inf"),
        (np.full((5, 7, 3), 0.5, object), "object"),
    ],
)
def test_all_else_is_refused(frame: np.ndarray, message: str):
    with pytest.raises(InputError, match=message):
        as_rgb8(frame)
