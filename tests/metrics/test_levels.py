"""What counts as frames, and luma."""

import numpy as np
import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.metrics import luma, psnr


def test_luma_is_that_of_bt709() -> None:
    red_green_blue = np.eye(3).reshape(3, 1, 1, 3)
    np.testing.assert_allclose(luma(red_green_blue).ravel(), [0.2126, 0.7152, 0.0722], atol=1e-12)
    assert luma(np.full((1, 2, 2, 3), 255, np.uint8)).max() == pytest.approx(1)


def test_bytes_and_floats_are_the_same(moving: np.ndarray, blurred: np.ndarray) -> None:
    np.testing.assert_allclose(psnr(moving, blurred / 255), psnr(moving, blurred), rtol=1e-9)


@pytest.mark.parametrize(
    ("frames", "named"),
    [
        (np.full((1, 4, 4, 3), 200.0), "200"),
        (np.full((1, 4, 4, 3), -0.5), "-0.5"),
        (np.full((1, 4, 4, 3), np.nan), "nan"),
        (np.zeros((1, 4, 4, 3), np.int32), "int32"),
        (np.zeros((4, 4, 3), np.uint8), r"\(4, 4, 3\)"),
        (np.zeros((0, 4, 4, 3), np.uint8), r"\(0, 4, 4, 3\)"),
    ],
)
def test_what_is_no_frames_is_told(frames: np.ndarray, named: str) -> None:
    with pytest.raises(InputError, match=named):
        psnr(frames, frames)


def test_other_shapes_are_told(moving: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"\(4, 96, 112, 3\).*\(5, 96"):
        psnr(moving[1:], moving)
    with pytest.raises(InputError, match="RGB"):
        luma(moving[..., :2])
