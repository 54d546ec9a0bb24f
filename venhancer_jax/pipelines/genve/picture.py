"""The picture of a key frame that a person provides."""

from pathlib import Path

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.video import VideoInfo, is_still, probe, read_frames, resize

# Largest difference of width over height between picture and clip.
_ASPECT_TOLERANCE = 0.01


def check_picture(path: Path, height: int, width: int) -> VideoInfo:
    """Checks that a picture shows a frame of a clip.

    Args:
      path: file of the picture.
      height: rows of the clip.
      width: columns of the clip.

    Raises:
      InputError: a file that is missing, no picture, or has another aspect.
    """
    if not path.is_file():
        raise InputError(
            f"reference {str(path)!r}: no such file; expected prior, sd21, none, or the file of a"
            " picture"
        )
    if not is_still(path):
        raise InputError(f"reference {path}: expected a picture, such as a .png or .jpg file")
    info = probe(path)
    ratio = (info.width / info.height) / (width / height)
    if abs(ratio - 1) > _ASPECT_TOLERANCE:
        raise InputError(
            f"reference {path}: {info.width}x{info.height} pixels, expected the aspect of the clip,"
            f" {width}x{height}, within 1 percent; crop the picture, or give one of the clip"
        )
    return info


def read_picture(path: Path, height: int, width: int) -> np.ndarray:
    """Reads a picture as RGB `[H, W, 3]`, uint8 or uint16.

    Args:
      path: file of the picture.
      height: rows of the clip that it shows a frame of.
      width: columns of the clip.

    Raises:
      InputError: a file that cannot be read, or has another aspect.
    """
    return next(iter(read_frames(check_picture(path, height, width), deep=True)))


def shrink_picture(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a picture to the size of the clip, uint8 or uint16 as before.

    Args:
      picture: picture `[H, W, 3]`, uint8 or uint16.
      size: height and width of the clip.
    """
    if picture.shape[:2] == tuple(size):
        return picture
    return resize.to_bytes(resize.resize_bilinear(resize.to_signed(picture), size), picture.dtype)
