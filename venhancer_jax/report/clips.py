"""The input and the output of an enhancement as frames that a page can show, found by time."""

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from venhancer_jax.pipelines.jobs import find_part
from venhancer_jax.pipelines.options import FileOptions
from venhancer_jax.settings import from_config
from venhancer_jax.video import VideoInfo, probe, read_frames
from venhancer_jax.video.colour.layers import Passage
from venhancer_jax.video.colour.picture_format import PictureFormat


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
    """Stored pictures of a video, in a range.

    Attributes:
      info: facts of the file.
      first: index of the first picture.
      frames: number of pictures.
    """

    info: VideoInfo
    first: int
    frames: int

    @property
    def size(self) -> tuple[int, int]:
        """Returns height and width in pixels."""
        return self.info.height, self.info.width

    @property
    def seconds(self) -> float:
        """Returns the duration in seconds."""
        return float(self._since_first(self.first + self.frames))

    def seconds_at(self, index: int) -> float:
        """Returns the time of a frame after the first one, in seconds."""
        return float(self._since_first(self.first + index))

    def index_at(self, seconds: float) -> int:
        """Returns the index of the frame that is shown at a time after the first one."""
        times = self.info.times
        shown = times.shown_at(seconds + float(times.seconds(self.first))) - self.first
        return min(max(shown, 0), self.frames - 1)

    def read(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """Reads frames of ordinary brightness, uint8 RGB `[H, W, 3]`.

        Args:
          start: index of the first frame.
          stop: index after the last one.

        Raises:
          InputError: the file cannot be read.
        """
        seconds = self.info.times.seconds(self.first + start)
        passage = Passage(self.info.picture, PictureFormat(), size=self.size, hdr_mode="sdr")
        pictures = read_frames(
            self.info,
            start_time=seconds,
            max_frames=stop - start,
            allow_damaged=True,
            as_stored=True,
            layers=True,
        )
        for i, picture in enumerate(pictures):
            yield _as_bytes(passage.enter(picture, Fraction(i)))

    def frame(self, index: int) -> np.ndarray:
        """Reads one frame; see `read`."""
        return next(self.read(index, index + 1))

    def _since_first(self, index: int) -> Fraction:
        return self.info.times.seconds(index) - self.info.times.seconds(self.first)


def open_input(path: Path, config: ConfigDict | None) -> Clip:
    """Opens the part of an input that was enhanced.

    Args:
      path: video, image or folder of images.
      config: config of the enhancement; None for the whole input.

    Raises:
      InputError: it cannot be read, or ends before the part.
    """
    if config is None:
        info = probe(path)
        return Clip(info=info, first=0, frames=len(info.times))
    info, first, frames = find_part(path, from_config(FileOptions, config))
    return Clip(info=info, first=first, frames=frames)


def open_output(path: Path, rate: Fraction) -> Clip:
    """Opens a result.

    Args:
      path: video, image or folder of images.
      rate: frames per second of a folder of images.

    Raises:
      InputError: it cannot be read.
    """
    info = probe(path, picture_rate=rate)
    return Clip(info=info, first=0, frames=len(info.times))


def _as_bytes(picture: np.ndarray) -> np.ndarray:
    if picture.dtype == np.uint8:
        return picture
    return ((picture.astype(np.uint32) + 128) // 257).astype(np.uint8)
