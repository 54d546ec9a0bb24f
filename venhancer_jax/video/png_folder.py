"""Frames as a folder of losslessly compressed numbered images."""

import re
from pathlib import Path

import numpy as np
from av import CodecContext, VideoFrame
from av.video.codeccontext import VideoCodecContext

from venhancer_jax.errors import InputError

_NAME = "{:06d}.png"
_NAME_PATTERN = re.compile(r"\d{6,}\.png")


def check_replaceable(folder: Path) -> None:
    """Checks that a folder is absent or holds nothing but numbered images.

    Args:
      folder: folder that a new one will replace.

    Raises:
      InputError: the folder holds something else, which must not be deleted.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: a file of this name is in the way of the folder of images.")
    for entry in folder.iterdir():
        if not _NAME_PATTERN.fullmatch(entry.name):
            raise InputError(
                f"{folder}: the folder holds {entry.name!r} besides numbered images and is not "
                "replaced. Give a new folder."
            )


class PngFolder:
    """Writes `000001.png`, `000002.png` and so on into an empty folder."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self._folder = folder
        self._size = (width, height)
        self._written = 0

    def write(self, frame: np.ndarray) -> None:
        """Writes the next image.

        Args:
          frame: RGB picture, uint8 `[H, W, 3]`.
        """
        self._written += 1
        path = self._folder / _NAME.format(self._written)
        path.write_bytes(_encode_png(frame, *self._size))

    def finish(self) -> None:
        """Does nothing: each image is complete once written."""

    def close(self) -> None:
        """Does nothing: no file is open between images."""


def _encode_png(frame: np.ndarray, width: int, height: int) -> bytes:
    encoder = CodecContext.create("png", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "rgb24"
    # Threads would hold packets back.
    encoder.thread_count = 1
    picture = VideoFrame.from_ndarray(frame, format="rgb24")
    packets = encoder.encode(picture) + encoder.encode(None)
    return b"".join(bytes(packet) for packet in packets)
