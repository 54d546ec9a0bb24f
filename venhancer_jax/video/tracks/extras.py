"""Chapters, attachments and cover pictures of a source."""

import math
from fractions import Fraction

from av import Packet
from av.container import InputContainer, OutputContainer
from av.stream import AttachmentStream, Disposition
from av.video.stream import VideoStream

from venhancer_jax.video.tracks.part import Part, Track, content_tags, copy_tags

_CHAPTER_UNIT = Fraction(1, 1_000_000)
_MIME_TYPES = {"mjpeg": "image/jpeg", "png": "image/png", "bmp": "image/bmp", "gif": "image/gif"}
_MP4_COVERS = {"mjpeg", "png", "bmp"}


def set_chapters(source: InputContainer, output: OutputContainer, part: Part) -> None:
    """Copies the chapters that overlap the part, clipped to it.

    Args:
      source: open source.
      output: container whose header is not written yet.
      part: range of time to copy.
    """
    chapters = []
    for chapter in source.chapters():
        unit = chapter["time_base"] or Fraction(1)
        begins = max(chapter["start"] * unit - part.origin, Fraction(0))
        ends = chapter["end"] * unit - part.origin
        if not math.isinf(part.end):
            ends = min(ends, Fraction(part.end))
        if begins < ends:
            chapters.append(
                {
                    "id": len(chapters) + 1,
                    "start": round(begins / _CHAPTER_UNIT),
                    "end": round(ends / _CHAPTER_UNIT),
                    "time_base": _CHAPTER_UNIT,
                    "metadata": content_tags(chapter["metadata"]),
                }
            )
    output.set_chapters(chapters)


def add_attachment(stream: AttachmentStream, output: OutputContainer) -> bool:
    """Adds a file, such as a font, to the output.

    Args:
      stream: attachment of the source.
      output: container whose header is not written yet.

    Returns:
      Whether the container can hold attachments.
    """
    if output.format.name != "matroska":
        return False
    output.add_stream_from_template(stream)
    return True


def add_cover(
    stream: VideoStream, output: OutputContainer, picture: Packet | None
) -> tuple[Track | None, bool]:
    """Adds a cover picture to the output.

    Args:
      stream: stream of the source that holds the picture.
      output: container whose header is not written yet.
      picture: the picture, or None if the source lacks it.

    Returns:
      Track, if the picture is a stream of the output, and whether the container can hold it.
    """
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else ""
    if picture is None:
        return None, False
    if output.format.name == "matroska" and codec in _MIME_TYPES:
        mime_type = stream.metadata.get("mimetype", _MIME_TYPES[codec])
        name = stream.metadata.get("filename", f"cover.{mime_type.removeprefix('image/')}")
        output.add_attachment(name, mime_type, bytes(picture))
        return None, True
    if output.format.name == "mp4" and codec in _MP4_COVERS:
        return _Cover(stream, output), True
    return None, False


class _Cover:
    """A picture that is a stream of its own."""

    def __init__(self, stream: VideoStream, output: OutputContainer) -> None:
        self._stream = output.add_stream_from_template(stream, opaque=True)
        copy_tags(stream, self._stream)
        self._stream.disposition = Disposition.attached_pic
        self._output = output

    def write(self, packet: Packet) -> None:
        packet.pts = packet.dts = 0
        packet.stream = self._stream
        self._output.mux(packet)

    def flush(self) -> None:
        pass
