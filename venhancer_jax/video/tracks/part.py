"""The part of a source that is copied, and what each copied stream does with its packets."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from av import Packet
from av.container import OutputContainer
from av.stream import Stream

# Tags on the stored file rather than on what it shows; statistics of Matroska among them.
_FILE_TAGS = (
    "alpha_mode",
    "bps",
    "compatible_brands",
    "duration",
    "encoder",
    "major_brand",
    "minor_version",
    "number_of_",
    "rotate",
    "software",
    "_statistics_",
    "timecode",
    "vendor_id",
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Range of time of a source.

    Attributes:
      origin: presentation time of the source in seconds that becomes 0.
      end: length of the range in seconds; infinite for all that is left.
      is_cut: whether the range begins later than the source.
    """

    origin: Fraction
    end: Fraction | float
    is_cut: bool

    def begins(self, packet: Packet) -> Fraction:
        """Returns the time of the output in seconds at which a packet begins.

        Args:
          packet: packet of the source, with a timestamp.
        """
        assert packet.pts is not None
        return packet.pts * packet.time_base - self.origin


class Track(Protocol):
    """One stream of the output."""

    def write(self, packet: Packet) -> None:
        """Writes a packet, if it is in the part.

        Args:
          packet: packet of the source, with a timestamp.
        """

    def flush(self) -> None:
        """Writes what is held back, at the end of the part."""


def holds_negative_times(output: OutputContainer) -> bool:
    """Returns whether packets before time 0 are decoded and not heard, so that cuts are exact.

    Args:
      output: container to write.
    """
    return output.format.name in ("mp4", "mov")


def copy_tags(source: Stream, target: Stream) -> None:
    """Copies language, title and other tags of a stream, and how players choose it.

    Args:
      source: stream of the source.
      target: stream of the output.
    """
    tags = content_tags(source.metadata)
    if "name" in tags:  # the title of a stream in MP4
        tags.setdefault("title", tags.pop("name"))
    target.metadata.update(tags)
    target.disposition = source.disposition


def content_tags(tags: dict[str, str]) -> dict[str, str]:
    """Returns the tags on what is shown and heard, without those on how a file stores it.

    Args:
      tags: values by name.
    """
    return {name: value for name, value in tags.items() if not name.lower().startswith(_FILE_TAGS)}
