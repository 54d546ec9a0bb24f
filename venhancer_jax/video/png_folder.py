"""Frames as a folder of losslessly compressed numbered images."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from av import CodecContext, VideoFrame
from av.video.codeccontext import VideoCodecContext

from venhancer_jax.errors import InputError

_NAME = "{:06d}.png"
_NAME_PATTERN = re.compile(r"\d{6,}\.png")
# The empty last chunk of every PNG file: length, name, checksum.
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


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


def count_images(folder: Path) -> int:
    """Counts numbered images without decoding them.

    Args:
      folder: folder of images, all of them PNG files numbered from 1.

    Raises:
      InputError: an image is missing, empty or cut short, or something else is in the folder.
    """
    names = sorted(entry.name for entry in folder.iterdir())
    if not names or names != [_NAME.format(i + 1) for i in range(len(names))]:
        raise InputError(f"{folder}: expected numbered images without a gap, and nothing else.")
    for name in names:
        with (folder / name).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - len(_PNG_END)))
            if file.read() != _PNG_END:
                raise InputError(f"{folder / name}: the image is empty or cut short.")
    return len(names)


def link_images(target: Path, segments: Sequence[Path]) -> None:
    """Puts the images of segments into one folder, numbered through.

    Images are linked where the disk can do so, so that the segments stay whole, else copied.

    Args:
      target: empty folder.
      segments: folders of images.

    Raises:
      InputError: a segment is not whole.
      OSError: the images cannot be stored.
    """
    number = 0
    for folder in segments:
        for i in range(count_images(folder)):
            number += 1
            source, name = folder / _NAME.format(i + 1), target / _NAME.format(number)
            try:
                os.link(source, name)
            except OSError:
                shutil.copyfile(source, name)


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
