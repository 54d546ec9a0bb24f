"""The Python interface takes the frames of other programs."""

import numpy as np
import pytest
from pipelines.toy_system import Toy

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.enhance import enhance

RGB = np.random.default_rng(0).integers(0, 240, (6, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (RGB, RGB),
        (RGB.astype(np.float32) / 255, RGB),
        (RGB / 255, RGB),
        (RGB[..., 0], RGB[..., :1].repeat(3, -1)),
        (RGB[..., :1], RGB[..., :1].repeat(3, -1)),
        (np.concatenate([RGB, RGB[..., :1]], -1), RGB),
    ],
    ids=["uint8", "float32", "float64", "grey", "grey channel", "RGBA"],
)
def test_frames_are_converted(frame: np.ndarray, expected: np.ndarray):
    (found,) = enhance([frame], fps=24, system=Toy(None), brightness=10)
    np.testing.assert_array_equal(found, expected + 10)


def test_other_frames_are_refused():
    with pytest.raises(InputError, match=r"int32 \[6, 8, 3\]"):
        list(enhance([RGB.astype(np.int32)], fps=24, system=Toy(None)))
