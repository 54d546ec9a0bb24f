"""CIELAB against known colours."""

import numpy as np

from venhancer_jax.video.colour.cielab import lab_to_rgb, rgb_to_lab


def test_known_colours():
    rgb = np.float32([[1, 1, 1], [-1, -1, -1], [1, -1, -1], [-1, -1, 1], [0, 0, 0]])
    lab = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.2], [32.3, 79.19, -107.86], [53.39, 0, 0]]
    np.testing.assert_allclose(rgb_to_lab(rgb), lab, atol=0.03)


def test_colours_come_back_also_from_beyond_the_range():
    rgb = np.random.default_rng(0).uniform(-1.2, 1.2, (64, 64, 3)).astype(np.float32)
    np.testing.assert_allclose(lab_to_rgb(rgb_to_lab(rgb)), rgb, atol=5e-5)
