"""Deinterlacing: whole pictures from pairs of half pictures that were taken one after the other."""

from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction

from av import VideoFrame
from av.filter import Graph
from av.video.codeccontext import VideoCodecContext

from venhancer_jax.errors import InputError
from venhancer_jax.video.reading.source import DamagedPictureError

DEINTERLACE = ("auto", "on", "off")
# FFmpeg's AVFieldOrder: 0 is unknown, 1 progressive, all above are interlaced.
_PROGRESSIVE = 1
_BOTTOM_FIELD_FIRST = (3, 4)
# The filter refuses smaller pictures, which have no half pictures to speak of.
_SMALLEST_SIDE = 3
_ANY_TIME_BASE = Fraction(1, 1000)


def is_interlaced(pictures: Sequence[VideoFrame], decoder: VideoCodecContext) -> bool:
    """Returns whether a file marks its first pictures as interlaced.

    Codecs with B-frames mark each picture. Of the others, most leave that to the container.

    Args:
      pictures: first decoded pictures.
      decoder: their decoder.
    """
    by_container = decoder.field_order > _PROGRESSIVE and not decoder.codec.reorder
    return by_container or any(picture.interlaced_frame for picture in pictures)


def pictures_to_deinterlace(
    choice: str, pictures: Sequence[VideoFrame], decoder: VideoCodecContext
) -> str:
    """Finds which pictures of a stream are deinterlaced, as a stream may mix both kinds.

    Args:
      choice: one of `DEINTERLACE`: what the file marks as interlaced, all pictures, or none.
      pictures: first decoded pictures.
      decoder: their decoder.

    Returns:
      `marked` for pictures that are marked one by one; `all`, whose marks say which half picture
      came first; `top` or `bottom` for all, with that one first; or `none`.

    Raises:
      InputError: no such choice.
    """
    if choice not in DEINTERLACE:
        raise InputError(f"deinterlace {choice!r}: expected one of {', '.join(DEINTERLACE)}.")
    if choice == "off":
        return "none"
    marked = any(picture.interlaced_frame for picture in pictures)
    if choice == "auto" and (marked or not is_interlaced(pictures, decoder)):
        return "marked"
    if marked:
        return "all"
    return "bottom" if decoder.field_order in _BOTTOM_FIELD_FIRST else "top"


def deinterlace(frames: Iterator[VideoFrame], which: str) -> Iterator[VideoFrame]:
    """Deinterlaces pictures with FFmpeg's bwdif, one for one, times unchanged.

    The missing lines of each picture are computed from their neighbours in this picture and in
    those before and after.

    Args:
      frames: decoded pictures in the order in which they are shown.
      which: pictures to deinterlace, as `pictures_to_deinterlace` names them.

    Yields:
      As many pictures; those that are not deinterlaced are unchanged.

    Raises:
      DamagedPictureError: a damaged picture, after those before it.
    """
    if which == "none":
        yield from frames
        return
    bwdif: _Bwdif | None = None
    before: VideoFrame | None = None
    while True:
        damage: DamagedPictureError | None = None
        try:
            frame = next(frames, None)
        except DamagedPictureError as error:
            frame, damage = None, error
        if bwdif is not None and (frame is None or not bwdif.takes(frame)):
            yield from bwdif.finish()
            bwdif = None
        if damage is not None:
            raise damage
        if frame is None:
            return
        if bwdif is None and (which != "marked" or frame.interlaced_frame):
            bwdif = _Bwdif.open(frame, before, which)
        before = frame
        if bwdif is None:
            yield frame
        else:
            yield from bwdif.push(frame)


class _Bwdif:
    """Filter of pictures of one size and format, which holds the latest one until the next."""

    def __init__(self, frame: VideoFrame, which: str) -> None:
        self._layout = _layout(frame)
        self._waiting: deque[VideoFrame | None] = deque()
        self._graph = Graph()
        pictures = "interlaced" if which == "marked" else "all"
        first_half = {"top": "tff", "bottom": "bff"}.get(which, "auto")
        self._graph.link_nodes(
            self._graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=_ANY_TIME_BASE,
            ),
            self._graph.add("bwdif", f"mode=send_frame:parity={first_half}:deint={pictures}"),
            self._graph.add("buffersink"),
        ).configure()

    @classmethod
    def open(cls, frame: VideoFrame, before: VideoFrame | None, which: str) -> "_Bwdif | None":
        """Returns a filter for `frame` and those after it, None if the filter does not take it.

        Args:
          frame: first picture, not pushed yet.
          before: picture before it, from which its missing lines are computed too.
          which: pictures to deinterlace.
        """
        if min(frame.width, frame.height) < _SMALLEST_SIDE:
            return None
        bwdif = cls(frame, which)
        if before is not None and bwdif.takes(before):
            # The first picture that the filter changes is computed from itself alone.
            for unused in (frame, before):
                bwdif._waiting.append(None)
                bwdif._graph.vpush(unused)
        return bwdif

    def takes(self, frame: VideoFrame) -> bool:
        return _layout(frame) == self._layout

    def push(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        self._waiting.append(frame)
        self._graph.vpush(frame)
        return self._pull()

    def finish(self) -> Iterator[VideoFrame]:
        self._graph.vpush(None)
        return self._pull()

    def _pull(self) -> Iterator[VideoFrame]:
        while self._waiting:
            try:
                frame = self._graph.vpull()
            except (BlockingIOError, EOFError):
                return
            if (source := self._waiting.popleft()) is not None:
                frame.pts = source.pts  # the filter counts in ticks of its own
                yield frame


def _layout(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
