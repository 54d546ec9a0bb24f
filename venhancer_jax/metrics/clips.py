"""Clips on disk, videos or folders of images, and their pairs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.video import VideoInfo, is_video, probe, read_frames

_IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A video file, an image, or a folder with the frames of a video as images.

    Attributes:
      path: file or folder.
      width: columns of the frames.
      height: rows of the frames.
      count: number of frames.
      rate: frames per second, None for images.
    """

    path: Path
    width: int
    height: int
    count: int
    rate: Fraction | None
    _source: VideoInfo | tuple[Path, ...]

    def frames(self, max_frames: int | None = None) -> Iterator[np.ndarray]:
        """Yields the frames, uint8 RGB `[height, width, 3]`.

        Args:
          max_frames: largest number of frames, or None.

        Raises:
          InputError: a damaged file, or images of several sizes.
        """
        if isinstance(self._source, VideoInfo):
            yield from read_frames(self._source, max_frames=max_frames)
            return
        for path in self._source[:max_frames]:
            (frame,) = read_frames(path)
            if frame.shape != (self.height, self.width, 3):
                raise InputError(
                    f"{path}: {frame.shape[1]}x{frame.shape[0]}, where the first frame of the "
                    f"folder is {self.width}x{self.height}."
                )
            yield frame


def open_clip(path: Path) -> Clip:
    """Opens a clip; images of a folder are sorted by the numbers in their names.

    Args:
      path: video, image, or folder of images.

    Raises:
      InputError: not a clip.
    """
    images = _images(path) if path.is_dir() else ()
    info = probe(images[0] if images else path)
    still = bool(images) or path.suffix.lower() in _IMAGE_SUFFIXES
    return Clip(
        path=path,
        width=info.width,
        height=info.height,
        count=len(images) or info.frames,
        rate=None if still else info.rate,
        _source=images or info,
    )


def pair(
    pred: Path, target: Path, *, allow_unmatched: bool = False
) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """Pairs clips whose names without suffix are equal.

    Two clips that are passed themselves are a pair whatever their names are.

    Args:
      pred: clip, or folder of clips.
      target: clip, or folder of clips.
      allow_unmatched: whether to skip clips without a counterpart.

    Returns:
      Paths of result and target by name, sorted; and a message for each skipped clip.

    Raises:
      InputError: a path is neither a clip nor a folder of clips, two clips of a folder have one
        name, or clips are unmatched.
    """
    if is_clip(pred) and is_clip(target):
        return {clip_name(pred): (pred, target)}, []
    preds, targets = find_clips(pred), find_clips(target)
    if is_clip(pred) or is_clip(target):
        # One that is named says which of the folder's is meant.
        name = next(iter(preds if is_clip(pred) else targets))
        preds = {key: path for key, path in preds.items() if key == name}
        targets = {key: path for key, path in targets.items() if key == name}
    alone = [f"{preds[name]} has no counterpart in {target}" for name in preds.keys() - targets]
    alone += [f"{targets[name]} has no counterpart in {pred}" for name in targets.keys() - preds]
    alone.sort()
    common = sorted(preds.keys() & targets)
    if alone and not (allow_unmatched and common):
        hint = "Rename or remove them" + (", or give --allow_unmatched." if common else ".")
        raise InputError("; ".join(alone) + f". Clips are matched by name without suffix. {hint}")
    return {name: (preds[name], targets[name]) for name in common}, alone


def find_clips(path: Path) -> dict[str, Path]:
    """Lists clips by name without suffix.

    Args:
      path: clip, or folder of clips.

    Raises:
      InputError: no clip, or two of one name.
    """
    if is_clip(path):
        return {clip_name(path): path}
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder. Check the path.")
    clips: dict[str, Path] = {}
    for entry in sorted(path.iterdir()):
        if not (is_video(entry) or (entry.is_dir() and is_clip(entry))):
            continue
        name = clip_name(entry)
        if name in clips:
            raise InputError(f"{entry} and {clips[name]}: two clips of one name. Remove one.")
        clips[name] = entry
    if not clips:
        raise InputError(f"{path}: no video, no images and no folder of images in this folder.")
    return clips


def is_clip(path: Path) -> bool:
    """Returns whether a path is a file, or a folder of images without videos.

    Args:
      path: any path.
    """
    if not path.is_dir():
        return path.is_file()
    return bool(_images(path)) and not any(map(is_video, path.iterdir()))


def clip_name(path: Path) -> str:
    """Returns the name by which a clip is matched.

    Args:
      path: folder, or file, whose suffix does not count.
    """
    return path.name if path.is_dir() else path.stem


def _images(folder: Path) -> tuple[Path, ...]:
    """Lists visible images, sorted by the numbers in their names."""
    found = (
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _IMAGE_SUFFIXES and not path.name.startswith(".")
    )
    return tuple(sorted(found, key=lambda path: _natural(path.name)))


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
