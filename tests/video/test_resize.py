"""Resampling against PyTorch, padding, and value ranges."""

import numpy as np
import pytest

from venhancer_jax.pipelines.programs import to_bytes
from venhancer_jax.video import resize
from venhancer_jax.video.resize import pad, resize_area, resize_bicubic, resize_bilinear, to_signed

FRAMES = np.random.default_rng(0).standard_normal((2, 11, 18, 3), np.float32)


@pytest.mark.parametrize("size", [(11, 18), (22, 45), (29, 19), (7, 12), (3, 40), (1, 1)])
@pytest.mark.parametrize("antialias", [False, True])
def test_resize_is_that_of_pytorch(size: tuple[int, int], antialias: bool):
    found = resize_bilinear(FRAMES, size, antialias=antialias)
    np.testing.assert_allclose(found, of_pytorch(size=size, antialias=antialias), atol=5e-6)


@pytest.mark.parametrize("size", [(44, 72), (29, 31), (7, 12)])
def test_bicubic_is_that_of_pytorch(size: tuple[int, int]):
    expected = of_pytorch(size=size, mode="bicubic", align_corners=False)
    np.testing.assert_allclose(resize_bicubic(FRAMES, size), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(5, 9), (3, 7), (1, 1), (22, 20)])
def test_area_is_adaptive_pooling(size: tuple[int, int]):
    expected = of_pytorch(size=size, mode="area")
    np.testing.assert_allclose(resize_area(FRAMES, size), expected, atol=1e-6)


@pytest.mark.parametrize("scale", [2.6, 0.7])
def test_a_given_scale_places_the_samples(scale: float):
    expected = of_pytorch(scale_factor=scale, recompute_scale_factor=False)
    size = expected.shape[1:3]
    found = resize_bilinear(FRAMES, size, scale=scale, antialias=False)
    np.testing.assert_allclose(found, expected, atol=5e-6)
    # The ratio of the sizes, which are whole numbers, is another.
    assert np.abs(resize_bilinear(FRAMES, size, antialias=False) - expected).max() > 0.01


def test_samples_beyond_the_edge_are_the_edge():
    found = resize_bilinear(FRAMES, (30, 36), scale=2.0, antialias=False)
    np.testing.assert_allclose(found[:, :22], resize_bilinear(FRAMES, (22, 36)), atol=1e-6)
    np.testing.assert_allclose(found[:, 22:], found[:, 21:22].repeat(8, 1), atol=1e-6)


def test_antialias_is_the_default():
    size = (5, 7)
    np.testing.assert_array_equal(
        resize_bilinear(FRAMES, size), resize_bilinear(FRAMES, size, antialias=True)
    )


def test_resize_takes_single_frames():
    frame = resize_bilinear(FRAMES[1], (5, 7))
    np.testing.assert_allclose(frame, resize_bilinear(FRAMES, (5, 7))[1], atol=1e-6)
    assert frame.dtype == np.float32


def test_pad_repeats_the_edge():
    padded = pad(FRAMES, (1, 2, 3, 4))
    assert padded.shape == (2, 3 + 11 + 4, 1 + 18 + 2, 3)
    np.testing.assert_array_equal(padded[:, 3:14, 1:19], FRAMES)
    np.testing.assert_array_equal(padded[:, :3, 1:19], FRAMES[:, :1].repeat(3, 1))
    np.testing.assert_array_equal(padded[:, 14:, 1:19], FRAMES[:, -1:].repeat(4, 1))
    np.testing.assert_array_equal(padded[:, 3:14, :1], FRAMES[:, :, :1])
    np.testing.assert_array_equal(padded[:, 3:14, 19:], FRAMES[:, :, -1:].repeat(2, 2))


def test_white_padding():
    padded = pad(FRAMES[0], (1, 0, 0, 2), white=True)
    np.testing.assert_array_equal(padded[:11, 1:], FRAMES[0])
    assert (padded[:, 0] == 1).all()
    assert (padded[11:] == 1).all()


def test_bytes_survive_the_way_there_and_back():
    frames = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    signed = to_signed(frames)
    assert signed.dtype == np.float32
    assert signed.min() == -1
    assert signed.max() == 1
    np.testing.assert_array_equal(to_bytes(signed, truncate=False), frames)


def test_sixteen_bits_survive_the_way_there_and_back():
    frames = np.arange(0, 65536, 16, dtype=np.uint16).reshape(1, 64, 64, 1)
    signed = to_signed(frames)
    assert signed.min() == -1
    np.testing.assert_array_equal(to_bytes(signed, truncate=False, dtype=np.uint16), frames)
    np.testing.assert_array_equal(resize.to_bytes(signed, np.uint16), frames)


def of_pytorch(**options) -> np.ndarray:
    torch = pytest.importorskip("torch")
    planes = torch.from_numpy(FRAMES).permute(0, 3, 1, 2)
    options = (
        options if "mode" in options else {"mode": "bilinear", "align_corners": False, **options}
    )
    resized = torch.nn.functional.interpolate(planes, **options)
    return resized.permute(0, 2, 3, 1).numpy()
