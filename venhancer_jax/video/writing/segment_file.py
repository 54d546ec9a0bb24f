"""Files that hold a part of a video: pictures alone, decodable without any other file.

A segment begins with a picture at tick 0 where decoding can begin, and no picture refers to one
outside, so that `join.join_segments` only copies compressed pictures.
"""

import heapq
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av import Packet
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from venhancer_jax.errors import InputError
from venhancer_jax.video.colour.encoded_picture import to_picture
from venhancer_jax.video.writing.encoders import ENCODERS, add_video_stream, stored_format
from venhancer_jax.video.writing.encoding import Encoding
from venhancer_jax.video.writing.image_folder import ImageFolder, count_images

# Start code of the index of a NUT file.
_NUT_INDEX = bytes.fromhex("4e58dd672f23e64e")

__all__ = ["Encoding", "SegmentFile", "count_pictures", "segment_suffix"]


def segment_suffix(codec: str) -> str:
    """Returns the suffix of segment files, which players know and whose ticks are exact.

    MP4, MOV and NUT end with their index, so that a segment that is cut short is known as such.

    Args:
      codec: picture codec.

    Returns:
      Suffix such as `.mp4`; empty for a folder of images.
    """
    if codec not in ENCODERS:
        return ""
    known = ENCODERS[codec].suffixes
    return next((suffix for suffix in (".mp4", ".mov") if suffix in known), ".nut")


class DecodeTimes:
    """Decoding times of compressed pictures, in the order in which they are decoded.

    Each picture is decoded when the picture shown `reorder_delay` places earlier is shown, and the
    first ones a frame apart before tick 0. Encoders do so too, where they do it right.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._delay = ENCODERS[encoding.codec].reorder_delay
        self._frame_ticks = encoding.frame_ticks
        self._waiting: list[int] = []
        self._count = 0

    def next(self, tick: int) -> int:
        """Returns the decoding tick of the next picture.

        Args:
          tick: tick at which the picture is shown.
        """
        heapq.heappush(self._waiting, tick)
        self._count += 1
        if self._count <= self._delay:
            return (self._count - 1 - self._delay) * self._frame_ticks
        return heapq.heappop(self._waiting)


class SegmentFile:
    """Encodes frames into a file of their own; equal frames and encodings give equal bytes.

    with SegmentFile(path, encoding) as segment:
        segment.write(frame, tick)

    The file is whole when the block ends without an exception, and cut short after one.
    """

    def __init__(self, path: Path, encoding: Encoding) -> None:
        """Sets the file; entering the block creates it.

        Args:
          path: new file of any name or, for images, empty folder.
          encoding: codec, size and clock of the pictures.
        """
        self._path, self._encoding = Path(path), encoding
        self._floats = encoding.codec == "exr"
        self._sink: _Pictures | ImageFolder | None = None
        self._latest = -1

    def __enter__(self) -> Self:
        """Creates the file and opens the encoder.

        Raises:
          InputError: the encoder is missing.
          OSError: the file cannot be created.
        """
        encoding = self._encoding
        if encoding.codec in ENCODERS:
            self._sink = _Pictures(self._path, encoding)
        else:
            self._path.mkdir(exist_ok=True)
            self._sink = ImageFolder(self._path, encoding)
        return self

    def write(self, frame: np.ndarray, tick: int) -> None:
        """Encodes the next frame.

        Args:
          frame: RGB picture `[height, width, 3]`, uint8 or uint16, or one with alpha
            `[height, width, 4]`; float32 for pictures of floats, with the layers of the encoding
            as further channels.
          tick: time at which the frame is shown, in `Encoding.time_base`; 0 for the first frame,
            ascending.

        Raises:
          ValueError: the array has another shape or type, or the tick is out of order.
          OSError: the frame cannot be stored.
        """
        if self._sink is None:
            raise ValueError("the segment is not open; use it in a with block")
        expected = (self._encoding.height, self._encoding.width, 3)
        types = (np.float32,) if self._floats else (np.uint8, np.uint16)
        picture = self._encoding.picture
        layers = len(picture.layers) if picture is not None else 0
        shapes = {(*expected[:2], channels + layers) for channels in (3, 4)}
        if frame.shape not in shapes or frame.dtype not in types:
            names = " or ".join(each.__name__ for each in types)
            raise ValueError(
                f"frame is {frame.dtype} {frame.shape}, where {names} {expected} was expected"
            )
        if tick <= self._latest or (self._latest < 0 and tick != 0):
            raise ValueError(f"tick {tick} after {self._latest}: expected 0 and then rising ticks")
        self._latest = tick
        frame = np.ascontiguousarray(frame)
        if isinstance(self._sink, ImageFolder):
            self._sink.write(frame)
        else:
            self._sink.write(frame, tick)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Completes the file, or after an exception closes it as it is.

        Raises:
          OSError: the last frames cannot be stored.
        """
        if self._sink is None:
            return
        sink, self._sink = self._sink, None
        if error is None:
            try:
                sink.finish()
            except BaseException:
                sink.close()
                raise
        else:
            sink.close()


class _Pictures:
    """One encoder and one container."""

    def __init__(self, path: Path, encoding: Encoding) -> None:
        name = segment_suffix(encoding.codec).removeprefix(".")
        self._time_base = encoding.time_base
        self._frame_ticks = encoding.frame_ticks
        self._times = DecodeTimes(encoding)
        self._reformatter = VideoReformatter()
        self._format = stored_format(encoding)
        # Neither dates nor random identifiers: the same frames give the same bytes.
        self._container = av.open(
            f"file:{path}", "w", format=name, container_options={"fflags": "+bitexact"}
        )
        try:
            self._stream = add_video_stream(self._container, encoding)
            with _quiet_svt():
                self._container.start_encoding()
        except BaseException:
            self.close()
            raise

    def write(self, frame: np.ndarray, tick: int) -> None:
        picture = to_picture(self._reformatter, frame, self._format)
        picture.pts, picture.time_base = tick, self._time_base
        self._mux(self._stream.encode(picture))

    def finish(self) -> None:
        self._mux(self._stream.encode(None))
        self._container.close()

    def close(self) -> None:
        with suppress(OSError, ValueError):
            self._container.close()

    def _mux(self, packets: list[Packet]) -> None:
        for packet in packets:
            assert packet.pts is not None
            packet.dts = self._times.next(packet.pts)
            packet.duration = self._frame_ticks
            self._container.mux(packet)


def count_pictures(path: Path) -> int:
    """Counts the pictures of a segment without decoding them.

    Args:
      path: segment file, or folder of images.

    Raises:
      InputError: the segment is missing, empty, cut short or no segment.
    """
    path = Path(path)
    return count_images(path) if path.is_dir() else len(list_ticks(path)[0])


def list_ticks(path: Path) -> tuple[list[int], Fraction]:
    """Lists the times of the pictures of a segment file without decoding them.

    Args:
      path: segment file.

    Returns:
      Ticks at which pictures are shown, in decoding order, and seconds per tick.

    Raises:
      InputError: the file is missing, empty, cut short or no segment.
    """
    try:
        is_nut = _has_nut_index(path)
        if not is_nut:
            _check_boxes(path)
        with av.open(f"file:{path}", "r") as container:
            stream = container.streams.video[0]
            ticks, whole = [], True
            for packet in container.demux(stream):
                if packet.size:
                    whole = whole and packet.pts is not None and not packet.is_corrupt
                    ticks.append(packet.pts or 0)
            whole = whole and (is_nut or len(ticks) == stream.frames)
            time_base = stream.time_base
    except (FFmpegError, OSError, IndexError) as error:
        raise broken_segment(path) from error
    if not whole or not ticks or min(ticks) != 0 or time_base is None:
        raise broken_segment(path)
    return ticks, time_base


def broken_segment(path: Path) -> InputError:
    """Returns the error on a segment that is not whole.

    Args:
      path: segment file.
    """
    return InputError(
        f"{path}: this finished part of the video is missing, empty or cut short. Remove it and"
        " run again; it is computed again."
    )


def _has_nut_index(path: Path) -> bool:
    """Returns whether a file is NUT and ends with its index, whose length is its last number."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"nut/" or size < 64:
            return False
        file.seek(size - 12)
        length = int.from_bytes(file.read(8), "big")
        file.seek(max(0, size - length))
        return file.read(8) == _NUT_INDEX


def _check_boxes(path: Path) -> None:
    """Checks that the boxes of an MP4 or MOV file fill it; FFmpeg reads on where one is cut."""
    size = path.stat().st_size
    with path.open("rb") as file:
        position, names = 0, set()
        while position < size:
            file.seek(position)
            header = file.read(16)
            if len(header) < 8:
                raise broken_segment(path)
            length, name = struct.unpack(">I4s", header[:8])
            if length == 1 and len(header) == 16:
                (length,) = struct.unpack(">Q", header[8:])
            if length < 8:
                raise broken_segment(path)
            names.add(name)
            position += length
    if position != size or not {b"mdat", b"moov"} <= names:
        raise broken_segment(path)


@contextmanager
def _quiet_svt() -> Iterator[None]:
    """Keeps SVT-AV1 from printing; the library listens to nothing but its environment variable."""
    before = os.environ.get("SVT_LOG")
    os.environ["SVT_LOG"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["SVT_LOG"]
        else:
            os.environ["SVT_LOG"] = before
