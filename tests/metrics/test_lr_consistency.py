"""Averaging over areas, and the distance to the low-resolution input."""

import numpy as np
import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.metrics import box_resize, lr_consistency


def test_whole_factors_are_means_of_blocks(moving: np.ndarray) -> None:
    small = box_resize(moving, 24, 56)
    blocks = (moving / 255).reshape(5, 24, 4, 56, 2, 3).mean((2, 4))
    np.testing.assert_allclose(small, blocks, atol=1e-12)


def test_broken_factors_share_pixels() -> None:
    row = np.array([0, 0.2, 1]).reshape(1, 1, 3, 1)
    # Pixel 1 is half in each: (0 + 0.1) / 1.5 and (0.1 + 1) / 1.5.
    np.testing.assert_allclose(box_resize(row, 1, 2).ravel(), [0.1 / 1.5, 1.1 / 1.5])


def test_rounding_alone_leaves_59_decibels(moving: np.ndarray) -> None:
    low = np.round(255 * box_resize(moving, 24, 28)).astype(np.uint8)
    np.testing.assert_allclose(lr_consistency(moving, low), 58.9, atol=0.3)
    shifted = lr_consistency(np.clip(moving, 5, 250), np.clip(low, 5, 250) - 5)
    np.testing.assert_allclose(shifted, 20 * np.log10(255 / 5), atol=0.2)


def test_a_larger_input_is_told(moving: np.ndarray) -> None:
    with pytest.raises(InputError, match="113x96 from frames of 112x96"):
        lr_consistency(moving, np.zeros((5, 96, 113, 3), np.uint8))
