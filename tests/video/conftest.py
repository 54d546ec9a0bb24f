"""Tiny clips made on the spot."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from video.video_clips import make_video


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    """`make_video` for a file name inside the test's folder."""
    return lambda name, frames, **options: make_video(tmp_path / name, frames, **options)


@pytest.fixture
def quadrants() -> np.ndarray:
    """uint8 RGB `[48, 64, 3]`: red, green / blue, white from the top left corner."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32] = (200, 0, 0)
    image[:24, 32:] = (0, 200, 0)
    image[24:, :32] = (0, 0, 200)
    image[24:, 32:] = (200, 200, 200)
    return image
