"""Opening a video file for reading, with a clear word on every way that it can fail."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import av
from av import CodecContext, Packet, VideoFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.filter import Graph
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from venhancer_jax.errors import InputError

# FFmpeg renders plain text as pictures of a terminal.
_TEXT_FORMATS = {"tty", "ansi"}
_EXIF = 31  # AV_FRAME_DATA_EXIF


class DamagedPictureError(Exception):
    """A picture that cannot be decoded, or only in part.

    Attributes:
      where: its time or file, in words.
    """

    def __init__(self, where: str) -> None:
        super().__init__(f"a picture {where} cannot be decoded in full")
        self.where = where


@dataclass(frozen=True, kw_only=True)
class VideoSource:
    """An open file, its picture stream and the decoder of that stream."""

    path: Path
    container: InputContainer
    stream: VideoStream
    decoder: VideoCodecContext

    def packets(self) -> Iterator[Packet]:
        """Yields the compressed pictures in file order, up to where the file breaks off."""
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError:
                return
            if packet is None:
                return
            if packet.size:
                yield packet

    def seek(self, time: Fraction) -> bool:
        """Moves an unread source to the last picture at or before a time where decoding can begin.

        The first packet of the stream is decoded before: an H.264 decoder learns there which
        release of x264 encoded the stream, without which 4:4:4 of older releases comes out wrong.

        Args:
          time: presentation time in seconds.

        Returns:
          Whether the format can do so.
        """
        assert self.stream.time_base is not None
        with suppress(FFmpegError):
            if (first := next(self.packets(), None)) is not None:
                self.decoder.decode(first)
                self.decoder.flush_buffers()
        try:
            self.container.seek(int(time // self.stream.time_base), stream=self.stream)
        except FFmpegError:
            return False
        return True

    def frames(
        self, *, allow_damaged: bool = False, after_seek: bool = False
    ) -> Iterator[VideoFrame]:
        """Yields the decoded pictures in the order in which they are shown.

        Args:
          allow_damaged: whether pictures that cannot be decoded are skipped, and those that can be
            decoded in part, which `VideoFrame.is_corrupt` marks, are yielded.
          after_seek: whether both are skipped before the first whole picture, as they may refer to
            pictures before it.

        Raises:
          DamagedPictureError: a damaged picture, unless allowed.
        """
        lead, latest = after_seek, None
        for packet in chain(self.packets(), [None]):
            try:
                frames = self.decoder.decode(packet)
            except FFmpegError as error:
                if allow_damaged or lead:
                    continue
                # Threads of the decoder are several packets ahead of the damaged picture.
                raise DamagedPictureError(self._where(latest)) from error
            for frame in frames:
                if frame.is_corrupt and lead:
                    continue
                if frame.is_corrupt and not allow_damaged:
                    raise DamagedPictureError(self._where(frame))
                lead, latest = False, frame
                yield _without_exif(frame)

    def _where(self, frame: VideoFrame | None) -> str:
        if frame is None or frame.pts is None or self.stream.time_base is None:
            return "somewhere"
        return f"near {float(frame.pts * self.stream.time_base):.2f} s"


def _without_exif(frame: VideoFrame) -> VideoFrame:
    """Removes the one kind of side data that PyAV does not know, which hides all others."""
    try:
        _ = frame.side_data
    except ValueError:
        graph, unit = Graph(), Fraction(1, 1000)
        width, height, layout = frame.width, frame.height, frame.format
        graph.link_nodes(
            graph.add_buffer(width=width, height=height, format=layout, time_base=unit),
            graph.add("sidedata", f"mode=delete:type={_EXIF}"),
            graph.add("buffersink"),
        ).configure()
        graph.vpush(frame)
        return graph.vpull()
    return frame


def codec_name(stream: AudioStream) -> str:
    """Returns FFmpeg's name of the codec, such as `mp3`, whichever decoder is used for it.

    Args:
      stream: sound stream.
    """
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else "unknown"


@contextmanager
def open_source(path: Path, *, threads: bool = True) -> Iterator[VideoSource]:
    """Opens a video for reading.

    Args:
      path: video or image file.
      threads: whether the decoder works ahead in threads of its own.

    Raises:
      InputError: the path is missing or a folder, or the file is empty, cut short, or has no
        picture stream.
    """
    path = Path(path)
    with _open_file(path) as file, _open_container(path, file) as container:
        if not len(container.streams):
            raise InputError(f"{path}: the file holds no stream: zero frames, no sound.")
        streams = [
            stream
            for stream in container.streams.video
            if not stream.disposition & Disposition.attached_pic
        ]
        if not streams or container.format.name in _TEXT_FORMATS:
            sound = container.streams.audio
            found = f"only sound ({codec_name(sound[0])})" if sound else "only text or data"
            raise InputError(f"{path}: {found} in this file. Give a video or an image.")
        stream = streams[0]
        stream.thread_type = "AUTO" if threads else "NONE"
        yield VideoSource(
            path=path, container=container, stream=stream, decoder=_decoder(path, stream)
        )


def _open_file(path: Path) -> BinaryIO:
    if path.is_dir():
        raise InputError(f"{path}: this is a folder, where one video file was expected.")
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file. Check the path.") from error
    except OSError as error:
        raise InputError(f"{path}: the file cannot be read ({error.strerror}).") from error
    if not file.peek(1):
        file.close()
        raise InputError(f"{path}: the file is empty (0 bytes). Copy or download it again.")
    return file


def _open_container(path: Path, file: BinaryIO) -> InputContainer:
    # As an open file, a path is never taken for a URL or a numbered image pattern; and a playlist
    # must not open other files or addresses.
    options = {"protocol_whitelist": "none"}
    try:
        return av.open(file, "r", metadata_errors="replace", options=options)
    except EOFError as error:
        raise InputError(f"{path}: the file ends before its first frame: zero frames.") from error
    except FFmpegError as error:
        if _is_mp4(path):
            raise InputError(
                f"{path}: the file is cut short: its index (the moov box) is missing, so no frame "
                "can be found. Copy, download or record it again."
            ) from error
        raise InputError(
            f"{path}: not a video or image file that FFmpeg can read ({error.strerror})."
        ) from error


def _is_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:] == b"ftyp"


def _decoder(path: Path, stream: VideoStream) -> VideoCodecContext:
    context = stream.codec_context
    if context is None:
        raise InputError(f"{path}: this FFmpeg build has no decoder for the video's codec.")
    library = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(context.codec.canonical_name)
    if library is None or stream.metadata.get("alpha_mode") != "1":
        return context
    # FFmpeg's own VP8 and VP9 decoders leave the transparency layer out.
    with_alpha = CodecContext.create(library, "r")
    assert isinstance(with_alpha, VideoCodecContext)
    with_alpha.extradata = context.extradata
    return with_alpha
