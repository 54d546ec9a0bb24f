"""Transparency and light beyond white pass by the networks and meet the right frames again."""

from fractions import Fraction

import numpy as np
import pytest

from venhancer_jax.video.colour.layers import Passage
from venhancer_jax.video.colour.output_format import output_format
from venhancer_jax.video.colour.picture_format import BT2020, HLG, LINEAR, PQ, PictureFormat

RGBA = PictureFormat(pixel_format="rgba", matrix=0, full_range=True)
EXR = PictureFormat(pixel_format="gbrapf32le", matrix=0, transfer=LINEAR, full_range=True)


def passage(source: PictureFormat, codec: str, scale: int = 2, **options) -> Passage:
    target = output_format(source, codec=codec, width=8 * scale, height=6 * scale)
    return Passage(source, target, size=(6 * scale, 8 * scale), **options)


def enlarged(frame: np.ndarray, scale: int = 2) -> np.ndarray:
    return frame.repeat(scale, 0).repeat(scale, 1)


def rgba(level: int, opacity: int) -> np.ndarray:
    return np.full((6, 8, 4), (level, level, level, opacity), np.uint8)


def test_an_ordinary_frame_is_not_changed():
    way = passage(PictureFormat(), "h264")
    frame = rgba(9, 0)[..., :3]
    assert np.array_equal(way.enter(frame, Fraction(0)), frame)
    large = enlarged(frame)
    assert way.leave(large, Fraction(0)) is large


def test_transparency_is_that_of_the_latest_frame():
    way = passage(RGBA, "png")
    for i, opacity in enumerate((0, 100, 255)):
        seen = way.enter(rgba(50 + i, opacity), Fraction(i, 10))
        assert seen.shape == (6, 8, 3) and (seen == 50 + i).all()
    found = [way.leave(enlarged(seen), Fraction(i, 20))[..., 3] for i in range(6)]
    assert [np.unique(plane).tolist() for plane in found] == [[0], [0], [100], [100], [255], [255]]


def test_transparency_is_enlarged_with_the_picture():
    image = rgba(200, 255)
    image[:, :4, 3] = 0
    way = passage(RGBA, "png", scale=4)
    found = way.leave(enlarged(way.enter(image, Fraction(0)), 4), Fraction(0))[..., 3]
    assert found.shape == (24, 32)
    assert (found[:, :12] < 15).all() and (found[:, 20:] > 240).all()
    assert np.abs(found[:, 15].astype(int) + found[:, 16] - 255).max() <= 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparency_that_cannot_be_stored_is_black(dtype: type):
    white = np.iinfo(dtype).max
    image = np.full((6, 8, 4), white, dtype)
    image[..., 3] = white // 5
    way = passage(RGBA, "h264")
    seen = way.enter(image, Fraction(0))
    assert seen.dtype == dtype and (seen == white // 5).all()
    assert way.leave(enlarged(seen), Fraction(0)).shape == (12, 16, 3)


def test_light_beyond_white_survives():
    image = np.zeros((6, 8, 4), np.float32)
    image[..., :3], image[..., 3] = 0.25, 1
    image[2:4, 2:4, 0], image[4:, 6:, 2] = 40, -0.5
    way = passage(EXR, "exr", scale=1)
    seen = way.enter(image, Fraction(0))
    assert seen.dtype == np.uint16 and seen.max() == 65535
    np.testing.assert_allclose(way.leave(seen, Fraction(0)), image, atol=1e-4)
    large = passage(EXR, "exr")
    found = large.leave(enlarged(large.enter(image, Fraction(0))), Fraction(0))
    assert found[..., 0].max() == pytest.approx(40, rel=0.01)
    # No dark rings around the light.
    assert found[..., 1].min() > 0.249 and found[..., 0].min() > 0.249


def test_colours_of_exr_are_over_black():
    straight = np.full((6, 8, 4), (65535, 65535, 65535, 13107), np.uint16)
    way = passage(PictureFormat(pixel_format="rgba64be", matrix=0), "exr", scale=1)
    found = way.leave(way.enter(straight, Fraction(0)), Fraction(0))
    np.testing.assert_allclose(found, 0.2 + 0 * found, atol=1e-4)
    found[..., :3] = 0.2  # white
    back = passage(EXR, "png", scale=1)
    out = back.leave(back.enter(found, Fraction(0)), Fraction(0))
    assert np.abs(out.astype(int) - straight).max() < 300


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("codec", ["h265", "exr"])
def test_high_dynamic_range_there_and_back(transfer: int, codec: str):
    source = PictureFormat(
        pixel_format="yuv420p10le", matrix=BT2020, primaries=BT2020, transfer=transfer
    )
    way = passage(source, codec, scale=1)
    image = np.linspace(0, 65535, 144).reshape(6, 8, 3).astype(np.uint16)
    seen = way.enter(image, Fraction(0))
    assert (seen == image).all() == (transfer == HLG)
    found = way.leave(seen, Fraction(0))
    if codec == "h265":
        assert np.abs(found.astype(int) - image).max() <= 2
    else:
        brightest = {PQ: 10000, HLG: 1000}[transfer] / 203
        assert found.max() == pytest.approx(brightest, rel=0.05)


def test_high_dynamic_range_is_mapped():
    source = PictureFormat(pixel_format="yuv420p10le", primaries=BT2020, transfer=PQ)
    way = passage(source, "h264", scale=1, hdr_mode="sdr")
    image = np.full((6, 8, 3), round(0.58 * 65535), np.uint16)
    seen = way.enter(image, Fraction(0))
    assert 0.85 < seen.mean() / 65535 < 0.95
    assert way.leave(seen, Fraction(0)) is seen
