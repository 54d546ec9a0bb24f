"""Facts of a video file: size, exact rate, exact frame count, codecs."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.video.colour.picture_format import PictureFormat, source_format
from venhancer_jax.video.exr_layers import find_layers
from venhancer_jax.video.reading.deinterlace import is_interlaced, pictures_to_deinterlace
from venhancer_jax.video.reading.picture import PictureConverter
from venhancer_jax.video.reading.source import codec_name, open_source
from venhancer_jax.video.reading.stills import is_still, pictures_of
from venhancer_jax.video.reading.stored import (
    drop_undecodable_start,
    find_damage,
    find_timing,
    list_pictures,
)
from venhancer_jax.video.timing import FrameTimes, constant_times

# Pictures at the start of a stream that are decoded to see whether they are interlaced.
_DECODED_PICTURES = 8
PICTURE_RATE = Fraction(24)


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Rows and columns of upright frames with square pixels that are read.

    Attributes:
      top: first row.
      left: first column.
      height: number of rows.
      width: number of columns.
    """

    top: int
    left: int
    height: int
    width: int

    def apply(self, frame: np.ndarray) -> np.ndarray:
        """Returns the part as an array of its own.

        Args:
          frame: upright picture `[H, W, C]`.
        """
        rows = slice(self.top, self.top + self.height)
        return frame[rows, self.left : self.left + self.width].copy()


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """Facts on one video file.

    Attributes:
      path: the file, or folder of numbered pictures.
      width: columns of the frames that `read_frames` yields: upright, with square pixels.
      height: rows of those frames.
      rate: frames per second, exact (see `timing.measure_timing`).
      frames: number of frames that `read_frames` yields at the constant `rate`.
      duration: length in seconds of those frames.
      times: times of the stored pictures, which `read_frames` yields with `as_stored`.
      start: presentation time in seconds of the first frame, None for a stream without timestamps.
      rotation: clockwise degrees by which the stored frames are rotated: 0, 90, 180 or 270.
      pixel_aspect: width over height of a stored pixel.
      codec: FFmpeg's name of the picture codec, such as `h264`.
      picture: layout, depth, range and colour tags of the stored samples.
      variable_rate: whether the stored pictures are unevenly spaced.
      on_grid: whether each stored picture has a frame of its own, at its own time.
      interlaced: whether the file marks its first pictures as interlaced.
      deinterlace: pictures that `read_frames` deinterlaces (see `pictures_to_deinterlace`).
      audio_codec: name of the first sound stream's codec, None for a silent file.
      crop: part of each frame that `read_frames` yields, None for all (see `bars.crop_bars`).
      pictures: files of a folder of numbered pictures, None for missing ones; the file itself of an
        EXR picture with layers; empty for other files.
      damage: words on missing pictures, as far as they can be seen without decoding; empty for a
        whole file.
    """

    path: Path
    width: int
    height: int
    rate: Fraction
    frames: int
    duration: Fraction
    times: FrameTimes = field(compare=False, repr=False)
    start: Fraction | None
    rotation: int
    pixel_aspect: Fraction
    codec: str
    picture: PictureFormat
    variable_rate: bool
    on_grid: bool
    interlaced: bool
    deinterlace: str
    audio_codec: str | None
    crop: Crop | None = None
    pictures: tuple[Path | None, ...] = ()
    damage: str = ""

    @property
    def pixel_format(self) -> str:
        """Returns FFmpeg's name of the layout of the stored samples, such as `yuv420p`."""
        return self.picture.pixel_format

    @property
    def bits(self) -> int:
        """Returns the bits of a stored sample, at least 8."""
        return self.picture.bits


def probe(
    path: str | Path, *, deinterlace: str = "auto", picture_rate: Fraction = PICTURE_RATE
) -> VideoInfo:
    """Reads the facts of a video or image, counting its frames without decoding them.

    A folder of numbered pictures is a video too.

    Pictures at the start that refer to pictures before the file, as in a broadcast that was cut
    anywhere, cannot be decoded and do not count.

    Args:
      path: video, image or folder of numbered pictures.
      deinterlace: `auto` for pictures that the file marks as interlaced, `on` for all, `off`.
      picture_rate: frames per second of still pictures.

    Raises:
      InputError: the file is missing, empty, not a video, or holds no frame, or its index is cut
        off. `VideoInfo.damage` describes what else is missing.
    """
    path = Path(path)
    if path.is_dir() and (files := pictures_of(path)):
        return _folder_info(
            path, files, probe(files[0] or path, deinterlace=deinterlace), picture_rate
        )
    info = _file_info(path, deinterlace)
    if is_still(path) and info.frames == 1:
        return _at_rate(_with_layers(info), 1, picture_rate)
    return info


def _with_layers(info: VideoInfo) -> VideoInfo:
    """Returns the facts of a picture with its channels besides colour and transparency."""
    if not info.picture.is_float or info.path.suffix.lower() != ".exr":
        return info
    layers, unreadable = find_layers(info.path.read_bytes())
    picture = replace(info.picture, layers=layers, unreadable_layers=unreadable)
    return replace(info, picture=picture, pictures=(info.path,) if layers else ())


def _file_info(path: Path, deinterlace: str) -> VideoInfo:
    with open_source(path) as source:
        pictures = list_pictures(source)
    # A second pass, as not every format can go back to its first frame. FFmpeg's log is read, for
    # which threads of the decoder would wait while the decoder's end waits for them.
    with open_source(path, threads=False) as source:
        decoded = list(islice(source.frames(allow_damaged=True), _DECODED_PICTURES))
        if not decoded:
            raise InputError(
                f"{path}: none of the {len(pictures)} frames can be decoded; the file is damaged. "
                "Copy, download or record it again."
            )
        first = decoded[0]
        timing, times, start = find_timing(source, drop_undecodable_start(pictures, first.pts))
        pixel_aspect = source.stream.sample_aspect_ratio or Fraction(1)
        stored = source_format(first)
        picture = PictureConverter(first, pixel_aspect, chroma_location=stored.chroma_location)
        which = pictures_to_deinterlace(deinterlace, decoded, source.decoder)
        sound = source.container.streams.audio
        return VideoInfo(
            path=path,
            width=picture.width,
            height=picture.height,
            rate=timing.rate,
            frames=timing.frames,
            duration=timing.duration,
            times=times,
            start=start,
            rotation=picture.orientation.rotation,
            pixel_aspect=pixel_aspect,
            codec=source.decoder.codec.canonical_name,
            picture=stored,
            variable_rate=timing.variable,
            on_grid=timing.on_grid,
            interlaced=is_interlaced(decoded, source.decoder),
            deinterlace=which,
            audio_codec=codec_name(sound[0]) if sound else None,
            damage=find_damage(source, pictures, timing),
        )


def _folder_info(
    folder: Path, files: tuple[Path | None, ...], first: VideoInfo, rate: Fraction
) -> VideoInfo:
    """Returns the facts of numbered pictures from those of the first one."""
    info = _at_rate(replace(first, path=folder, pictures=files), len(files), rate)
    if missing := files.count(None):
        gap = next(file for file, after in pairwise(files) if after is None and file)
        damage = (
            f"{missing} of {len(files)} numbered pictures are missing, the first after {gap.name}"
        )
        return replace(info, damage=damage)
    return info


def _at_rate(info: VideoInfo, frames: int, rate: Fraction) -> VideoInfo:
    return replace(
        info,
        rate=rate,
        frames=frames,
        duration=frames / rate,
        times=constant_times(rate, frames),
        start=None,
    )
