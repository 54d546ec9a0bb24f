"""Still pictures and folders of them as videos."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from av import VideoFrame

from venhancer_jax.errors import InputError
from venhancer_jax.video.colour.picture_format import is_float
from venhancer_jax.video.exr_layers import read_layers
from venhancer_jax.video.reading.folder import is_video, list_videos
from venhancer_jax.video.reading.source import DamagedPictureError, open_source

STILL_SUFFIXES = frozenset({".bmp", ".exr", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_DIGITS = re.compile(r"(\d+)")


def is_still(path: str | Path) -> bool:
    """Returns whether a path is a visible file with the suffix of a still picture.

    Args:
      path: any path.
    """
    path = Path(path)
    named = path.suffix.lower() in STILL_SUFFIXES and not path.name.startswith(".")
    return named and path.is_file()


def list_inputs(folder: str | Path) -> list[Path]:
    """Lists what a folder holds to enhance, sorted by name.

    Args:
      folder: folder of videos or of pictures.

    Returns:
      Videos; without any, `folder` itself where its pictures are numbered, else each picture.

    Raises:
      InputError: not a folder, not readable, or without a video or picture.
    """
    folder = Path(folder)
    stills = _stills(folder) if folder.is_dir() else []
    if not stills or any(is_video(path) for path in folder.iterdir()):
        return list_videos(folder)
    return [folder] if len(stills) > 1 and number_pictures(stills) else stills


def pictures_of(folder: Path) -> tuple[Path | None, ...]:
    """Lists the numbered pictures of a folder in order, None for each number that is missing.

    Args:
      folder: folder of pictures.

    Returns:
      Pictures; empty without numbered ones.

    Raises:
      InputError: the folder cannot be read.
    """
    return number_pictures(_stills(folder))


def number_pictures(paths: list[Path]) -> tuple[Path | None, ...]:
    """Orders pictures by the number in which alone their names differ.

    Args:
      paths: pictures, at least one.

    Returns:
      Pictures, and None for each number that is missing; empty where names differ in more than one
      number, or where more numbers are missing than there are pictures, as of photographs.
    """
    parts = [_DIGITS.split(path.name) for path in paths]
    if not parts or len({len(part) for part in parts}) > 1:
        return ()
    columns = list(zip(*parts, strict=True))
    differing = [i for i, column in enumerate(columns) if len(set(column)) > 1]
    if len(paths) == 1:  # the last number of a name counts pictures
        differing = [len(columns) - 2] if len(columns) > 1 else []
    if len(differing) != 1 or differing[0] % 2 == 0:
        return ()
    numbered = {
        int(number): path for number, path in zip(columns[differing[0]], paths, strict=True)
    }
    if len(numbered) < len(paths):
        return ()
    numbers = sorted(numbered)
    step = min((after - number for number, after in pairwise(numbers)), default=1)
    span = range(numbers[0], numbers[-1] + 1, step)
    if set(numbers) - set(span) or len(span) > 2 * len(numbers):
        return ()
    return tuple(numbered.get(number) for number in span)


def decode_pictures(
    pictures: tuple[Path | None, ...], first: int, *, allow_damaged: bool
) -> Iterator[VideoFrame]:
    """Yields the decoded picture of each file, whose `pts` is its index.

    The `opaque` of an EXR picture has its channels besides colour and transparency, by name.

    Args:
      pictures: files of one size, None for missing ones, which are skipped.
      first: index of the first one.
      allow_damaged: whether those that cannot be decoded are skipped.

    Raises:
      DamagedPictureError: a picture cannot be decoded, unless allowed.
      InputError: a picture has another size than the very first one.
    """
    size: tuple[int, int] | None = None
    for index in [0] * (first > 0) + [*range(first, len(pictures))]:
        path = pictures[index]
        frame = path and _decode(path, allow_damaged)
        if frame is None:
            if path is None or allow_damaged:
                continue
            raise DamagedPictureError(f"in {path.name}")
        size = size or (frame.width, frame.height)
        if size != (frame.width, frame.height):
            raise InputError(
                f"{path}: {frame.width}x{frame.height} pixels, where the first picture has"
                f" {size[0]}x{size[1]}. Give each size a folder of its own."
            )
        if index >= first:
            frame.pts = index
            yield frame


def _decode(path: Path, allow_damaged: bool) -> VideoFrame | None:
    try:
        with open_source(path) as source:
            frame = next(source.frames(allow_damaged=allow_damaged), None)
        if frame is not None and path.suffix.lower() == ".exr" and is_float(frame.format.name):
            frame.opaque = read_layers(path.read_bytes())
        return frame
    except (InputError, DamagedPictureError):
        return None


def _stills(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if is_still(path))
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read ({error.strerror}).") from error
