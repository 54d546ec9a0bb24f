"""A textured picture, and clips made of it."""

import numpy as np
import pytest
from scipy import ndimage


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """uint8 RGB `[192, 208, 3]`: soft spots, from black to white."""
    noise = np.random.default_rng(0).uniform(size=(192, 208, 3))
    soft = ndimage.gaussian_filter(noise, (3, 3, 0), mode="wrap")
    return np.round(255 * (soft - soft.min()) / np.ptp(soft)).astype(np.uint8)


@pytest.fixture(scope="session")
def moving(picture: np.ndarray) -> np.ndarray:
    """uint8 `[5, 96, 112, 3]`: the picture moving right by two pixels a frame and down by one."""
    return np.stack([np.roll(picture, (i, 2 * i), (0, 1))[40:136, 40:152] for i in range(5)])


@pytest.fixture(scope="session")
def blurred(moving: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(moving, (0, 2, 2, 0))
