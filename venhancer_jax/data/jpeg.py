"""JPEG compression of arrays: transform and rounding, without the lossless coding."""

import numpy as np
from scipy import fft

# ITU-T T.81, annex K.1.
_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
_CHROMA = np.full((8, 8), 99)
_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
# JFIF: full-range BT.601.
_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)
_TO_RGB = np.linalg.inv(_TO_YCC)


def jpeg(frames: np.ndarray, quality: int) -> np.ndarray:
    """Compresses frames as JPEG with 4:2:0 chroma and decodes them again.

    Args:
      frames: pictures `[F, H, W, 3]`, 0 to 255.
      quality: quality from 1 to 100, on the scale of the IJG library.

    Returns:
      float32 `[F, H, W, 3]`, integers from 0 to 255.
    """
    height, width = frames.shape[1:3]
    around = [(0, 0), (0, -height % 16), (0, -width % 16), (0, 0)]
    padded = np.pad(frames.astype(np.float32), around, mode="edge")
    ycc = padded @ _TO_YCC.T.astype(np.float32)
    luma = _coded(ycc[..., 0] - 128, _table(_LUMA, quality)) + 128
    count, rows, columns = luma.shape
    chroma = ycc[..., 1:].reshape(count, rows // 2, 2, columns // 2, 2, 2).mean((2, 4))
    parts = [_coded(chroma[..., i], _table(_CHROMA, quality)) for i in range(2)]
    parts = [part.repeat(2, 1).repeat(2, 2) for part in parts]
    rgb = np.stack([luma, *parts], -1) @ _TO_RGB.T.astype(np.float32)
    return np.clip(np.rint(rgb[:, :height, :width]), 0, 255)


def _coded(plane: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Rounds the 8x8 cosine coefficients of `[F, H, W]` to multiples of `table`."""
    count, rows, columns = plane.shape
    blocks = plane.reshape(count, rows // 8, 8, columns // 8, 8)
    table = table[:, None, :]
    coefficients = np.asarray(fft.dctn(blocks, axes=(2, 4), norm="ortho"))
    rounded = np.rint(coefficients / table) * table
    return np.asarray(fft.idctn(rounded, axes=(2, 4), norm="ortho")).reshape(plane.shape)


def _table(base: np.ndarray, quality: int) -> np.ndarray:
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((base * percent + 50) // 100, 1, 255).astype(np.float32)
