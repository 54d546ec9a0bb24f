"""Frames as a folder of numbered images: PNG of 8 or 16 bits, or EXR of linear light."""

import os
import re
import shutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorPrimaries, ColorTrc, VideoReformatter

from venhancer_jax.errors import InputError
from venhancer_jax.video.colour.encoded_picture import to_picture
from venhancer_jax.video.colour.picture_format import RGB_MATRIX, PictureFormat
from venhancer_jax.video.exr_layers import add_layers
from venhancer_jax.video.writing.encoders import check_options
from venhancer_jax.video.writing.encoding import Encoding

_NAME_PATTERN = re.compile(r"\d{6,}\.(png|exr)")
# The empty last chunk of every PNG file: length, name, checksum.
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


@dataclass(frozen=True, kw_only=True)
class Images:
    """A codec of images.

    Attributes:
      suffix: suffix of files.
      formats: FFmpeg's pixel formats, without and with alpha, the plainest first.
      options: encoder options.
      is_whole: function that returns whether a file is complete.
    """

    suffix: str
    formats: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    is_whole: Callable[[Path], bool]


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
      folder: folder of images of one codec, numbered from 1.

    Raises:
      InputError: an image is missing, empty or cut short, or something else is in the folder.
    """
    return len(_list_images(folder))


def _list_images(folder: Path) -> list[Path]:
    names = {entry.name for entry in folder.iterdir()}
    for images in IMAGES.values():
        expected = [_name(i + 1, images) for i in range(len(names))]
        if names and names == set(expected):
            break
    else:
        raise InputError(f"{folder}: expected numbered images without a gap, and nothing else.")
    for name in expected:
        if not images.is_whole(folder / name):
            raise InputError(f"{folder / name}: the image is empty or cut short.")
    return [folder / name for name in expected]


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
        for source in _list_images(folder):
            number += 1
            name = target / f"{number:06d}{source.suffix}"
            try:
                os.link(source, name)
            except OSError:
                shutil.copyfile(source, name)


class ImageFolder:
    """Writes `000001.png`, `000002.png` and so on into an empty folder."""

    def __init__(self, folder: Path, encoding: Encoding) -> None:
        """Checks the options.

        Args:
          folder: empty folder.
          encoding: codec, one of `IMAGES`, size and format of the images.

        Raises:
          InputError: the codec lacks an option.
        """
        codec = encoding.codec
        check_options(codec, encoding.options)
        self._folder, self._encoding, self._images = folder, encoding, IMAGES[codec]
        self._options = dict(self._images.options) | dict(encoding.options)
        self._reformatter = VideoReformatter()
        self._written = 0

    def write(self, frame: np.ndarray) -> None:
        """Writes the next image.

        Args:
          frame: picture `[H, W, 3]`, or `[H, W, 4]` with alpha: uint8 or uint16, float32 for EXR,
            with the layers of the encoding as further channels.
        """
        self._written += 1
        path = self._folder / _name(self._written, self._images)
        path.write_bytes(self._encode(frame))

    def finish(self) -> None:
        """Does nothing: each image is complete once written."""

    def close(self) -> None:
        """Does nothing: no file is open between images."""

    def _encode(self, frame: np.ndarray) -> bytes:
        picture = self._encoding.picture or plain_image(self._encoding.codec, frame)
        frame, layers = np.split(frame, [frame.shape[-1] - len(picture.layers)], axis=-1)
        encoder = CodecContext.create(self._encoding.codec, "w")
        assert isinstance(encoder, VideoCodecContext)
        encoder.width, encoder.height = self._encoding.width, self._encoding.height
        encoder.pix_fmt, encoder.time_base = picture.pixel_format, Fraction(1)
        encoder.options = self._options
        # Threads would hold packets back.
        encoder.thread_count = 1
        image = to_picture(self._reformatter, frame, picture)
        if not picture.is_hdr:
            # Viewers take an image without tags for sRGB.
            image.color_primaries = ColorPrimaries.UNSPECIFIED
            image.color_trc = ColorTrc.UNSPECIFIED
        packets = encoder.encode(image) + encoder.encode(None)
        data = b"".join(bytes(packet) for packet in packets)
        samples = dict(zip(picture.layers, np.moveaxis(layers, -1, 0), strict=True))
        return add_layers(data, samples) if samples else data


def plain_image(codec: str, frame: np.ndarray) -> PictureFormat:
    """Returns the format of an image whose source is not known.

    Args:
      codec: one of `IMAGES`.
      frame: picture `[H, W, 3]`, or `[H, W, 4]` with alpha.
    """
    formats = IMAGES[codec].formats
    fine = 2 if frame.dtype == np.uint16 and len(formats) > 2 else 0
    with_alpha = int(frame.shape[-1] == 4)
    return PictureFormat(
        pixel_format=formats[fine + with_alpha], matrix=RGB_MATRIX, full_range=True
    )


def _name(number: int, images: Images) -> str:
    return f"{number:06d}{images.suffix}"


def _is_whole_png(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - len(_PNG_END)))
        return file.read() == _PNG_END


def _is_whole_exr(path: Path) -> bool:
    """Returns whether the last block of rows ends with the file."""
    data = path.read_bytes()
    try:
        position = 8  # behind magic number and version
        while data[position]:
            for _ in ("name", "type"):
                position = data.index(0, position) + 1
            position += 4 + struct.unpack_from("<i", data, position)[0]
        table = position + 1
        (first,) = struct.unpack_from("<Q", data, table)
        (last,) = struct.unpack_from("<Q", data, first - 8)
        (length,) = struct.unpack_from("<i", data, last + 4)
    except (struct.error, IndexError, ValueError):
        return False
    return last + 8 + length == len(data)


IMAGES: dict[str, Images] = {
    "png": Images(
        suffix=".png",
        formats=("rgb24", "rgba", "rgb48be", "rgba64be"),
        options=(),
        is_whole=_is_whole_png,
    ),
    "exr": Images(
        suffix=".exr",
        formats=("gbrpf32le", "gbrapf32le"),
        options=(("compression", "zip16"), ("format", "half")),
        is_whole=_is_whole_exr,
    ),
}
