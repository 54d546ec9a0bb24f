"""CIELAB of sRGB frames: lightness L from 0 to 100, and the two colour differences a and b."""

import numpy as np

from venhancer_jax.video.colour.hdr import linear_to_srgb, srgb_to_linear

# XYZ of linear sRGB (IEC 61966-2-1) over that of its white, D65: rows sum to 1.
_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32
)
_XYZ /= _XYZ.sum(1, keepdims=True)
_RGB = np.linalg.inv(_XYZ)
# L, a and b of the cube roots of X, Y and Z, without the -16 of L (CIE 15:2004, 8.2.1).
_LAB = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]], np.float32)
_ROOTS = np.linalg.inv(_LAB)
_BLACK = np.array([16, 0, 0], np.float32)
_KNEE = 6 / 29


def rgb_to_lab(frames: np.ndarray) -> np.ndarray:
    """Converts sRGB frames `[..., 3]` float32 in [-1, 1] to L, a and b.

    Values beyond the range are converted too, so that `lab_to_rgb` returns them.
    """
    signal = frames * 0.5 + 0.5
    # Negative light mirrors positive light.
    xyz = np.copysign(srgb_to_linear(np.abs(signal)), signal) @ _XYZ.T
    roots = np.where(xyz > _KNEE**3, np.cbrt(xyz), xyz / (3 * _KNEE**2) + 4 / 29)
    return roots.astype(np.float32) @ _LAB.T - _BLACK


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """Converts L, a and b `[..., 3]` float32 to sRGB frames in [-1, 1], not clipped."""
    roots = (lab + _BLACK) @ _ROOTS.T
    xyz = np.where(roots > _KNEE, roots**3, 3 * _KNEE**2 * (roots - 4 / 29))
    light = xyz.astype(np.float32) @ _RGB.T
    signal = np.copysign(linear_to_srgb(np.abs(light)), light)
    return (signal * 2 - 1).astype(np.float32)
