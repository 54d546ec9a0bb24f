"""Where the chroma samples of subsampled pictures are, relative to their luma samples.

FFmpeg's scaler follows the tag of a frame, and takes the centre of each block of luma samples where
there is none; decoders tag most frames, and PyAV neither shows nor changes the tag.
"""

import threading
import time
from fractions import Fraction

from av import VideoFormat, VideoFrame
from av import logging as av_logging
from av.filter import Graph

# Names of FFmpeg, in the order of ITU-T H.273 (Chroma420SampleLocType).
CHROMA_LOCATIONS = ("left", "center", "topleft", "top", "bottomleft", "bottom")
_ANY_TIME_BASE = Fraction(1, 1000)
# All threads have one level.
_log_level = threading.Lock()


def find_chroma_location(frame: VideoFrame, *, full_range: bool) -> str:
    """Returns the location of the chroma samples of a decoded frame, one of `CHROMA_LOCATIONS`.

    Args:
      frame: decoded frame; without a tag the location is guessed as players do.
      full_range: whether black and white are the first and last code.
    """
    return tagged_chroma_location(frame) or guessed_chroma_location(full_range=full_range)


def guessed_chroma_location(*, full_range: bool) -> str:
    """Returns the location that players take for pictures without a tag.

    Args:
      full_range: whether black and white are the first and last code, as in JPEG pictures.
    """
    return "center" if full_range else "left"


def tagged_chroma_location(frame: VideoFrame) -> str:
    """Returns the tag of a decoded frame; empty without a tag, and without subsampled chroma.

    Args:
      frame: decoded frame.
    """
    if not is_subsampled(frame.format):
        return ""
    with _log_level:
        level = av_logging.get_level()
        av_logging.set_level(av_logging.INFO)
        try:
            with av_logging.Capture(local=True) as lines:
                _filtered(frame, "showinfo", "")
        finally:
            av_logging.set_level(level)
            # Threads of decoders that log now wait for this one, and must not when they end.
            time.sleep(0.001)
    words = " ".join(text for _, name, text in lines if name == "showinfo").split()
    tags = [word.removeprefix("cl:") for word in words if word.startswith("cl:")]
    return tags[0] if tags and tags[0] in CHROMA_LOCATIONS else ""


def with_chroma_location(frame: VideoFrame, location: str) -> VideoFrame:
    """Returns a frame with the samples of `frame` and another tag.

    Args:
      frame: frame of any layout; conversions from RGB put chroma samples where its tag says.
      location: one of `CHROMA_LOCATIONS`.
    """
    return _filtered(frame, "setparams", f"chroma_location={location}")


def is_subsampled(layout: VideoFormat) -> bool:
    """Returns whether a layout has fewer chroma than luma samples.

    Args:
      layout: layout of a frame.
    """
    if layout.is_rgb or layout.has_palette or len(layout.components) < 3:
        return False
    return layout.chroma_width(64) < 64 or layout.chroma_height(64) < 64


def _filtered(frame: VideoFrame, name: str, arguments: str) -> VideoFrame:
    graph = Graph()
    graph.threads = 1
    width, height, unit = frame.width, frame.height, _ANY_TIME_BASE
    graph.link_nodes(
        graph.add_buffer(width=width, height=height, format=frame.format, time_base=unit),
        graph.add(name, arguments),
        graph.add("buffersink"),
    ).configure()
    graph.vpush(frame)
    return graph.vpull()
