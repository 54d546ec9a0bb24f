"""A clip in segments: runs of frames that are enhanced one after the other, in bounded memory.

A segment is never longer than its scene. It has a fixed number of windows, so that all segments of
a long scene compile alike; the last one starts earlier where its scene leaves less, and finds its
first frames finished. Segments overlap like windows do: what both compute is blended.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class TimedFrame:
    """A frame of the input.

    Attributes:
      pixels: RGB frame `[H, W, 3]`.
      tick: time at which it is shown, counted from the first frame.
      end: tick of the next frame, or of the end of the clip.
      starts_scene: whether a new scene begins with it.
    """

    pixels: np.ndarray
    tick: int
    end: int
    starts_scene: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentSizes:
    """Sizes of segments in frames of the input.

    Attributes:
      window: frames of a window.
      overlap: frames that neighbouring windows, and neighbouring segments, share; at least 1.
      windows: windows of a segment; 0 for all of a scene, joined at every step.
      stride: frames of the grid from one input frame to the next.
    """

    window: int
    overlap: int
    windows: int
    stride: int = 1

    @property
    def step(self) -> int:
        """Returns the number of frames by which one segment starts after the other."""
        return self.windows * (self.window - self.overlap)

    def last_length(self, frames: int) -> int:
        """Returns the length of the last segment of a scene that has `frames` unfinished ones."""
        step = self.window - self.overlap
        return self.window + max(0, math.ceil((frames - self.window) / step)) * step


@dataclasses.dataclass(frozen=True)
class Position:
    """Where the next segment begins.

    Attributes:
      index: number of segments before it.
      scene: first frame of its scene.
      first: first frame without a result.
    """

    index: int = 0
    scene: int = 0
    first: int = 0

    def read_from(self, sizes: SegmentSizes) -> int:
        """Returns the first frame that the next segment may need."""
        return max(self.scene, self.first + sizes.overlap - sizes.window)


CLIP_START = Position()


class Segment:
    """Frames that are enhanced together.

    Attributes:
      index: number of segments before it.
      scene: first frame of the scene.
      start: first frame that is read.
      first: first frame whose result is of this segment; those before it are finished.
      alone: whether the clip has no other segment, as far as it is known before frames are read.
    """

    def __init__(
        self,
        position: Position,
        frames: Iterable[TimedFrame],
        *,
        start: int,
        overlap: int,
        alone: bool,
        clip_ended: Callable[[], bool],
    ) -> None:
        """Stores where a segment is.

        Args:
          position: position of its first result.
          frames: frames from `start` on, read once.
          start: first frame that is read.
          overlap: frames at the end that are left to the next segment; 0 where the scene ends.
          alone: whether the clip has no other segment, as far as it is known.
          clip_ended: function that returns whether the clip has no frame after those read so far.
        """
        self.index, self.scene, self.first = position.index, position.scene, position.first
        self.start, self.alone = start, alone
        self._overlap = overlap
        self._frames = frames
        self._clip_ended = clip_ended
        self._times: list[tuple[int, int]] = []

    def pixels(self) -> Iterator[np.ndarray]:
        """Reads the frames, `[H, W, 3]` each; can be called once."""
        for frame in self._frames:
            self._times.append((frame.tick, frame.end))
            yield frame.pixels

    @property
    def ends_scene(self) -> bool:
        """Returns whether the scene ends with this segment."""
        return self._overlap == 0

    @property
    def ends_clip(self) -> bool:
        """Returns whether the clip ends with this segment; known when the frames are read."""
        return self.ends_scene and self._clip_ended()

    @property
    def read_stop(self) -> int:
        """Returns the frame after the last one; known when the frames are read."""
        return self.start + len(self._times)

    @property
    def stop(self) -> int:
        """Returns the frame after the last one whose result is of this segment."""
        return self.read_stop - self._overlap

    @property
    def times(self) -> list[tuple[int, int]]:
        """Returns tick and end of the frames from `first` up to before `stop`."""
        return self._times[self.first - self.start : self.stop - self.start]

    @property
    def after(self) -> Position:
        """Returns where the next segment begins."""
        return Position(self.index + 1, self.stop if self.ends_scene else self.scene, self.stop)


def cut_into_segments(
    frames: Iterable[TimedFrame], sizes: SegmentSizes, position: Position = CLIP_START
) -> Iterator[Segment]:
    """Cuts a clip into segments, each of one scene.

    Args:
      frames: frames of the clip from `position.read_from(sizes)` on.
      sizes: sizes of segments.
      position: where the first segment begins.

    Yields:
      Segments; the frames of one must be read before the next is requested.
    """
    stream = _Stream(frames, position.read_from(sizes))
    while not stream.ended() or stream.kept:
        if sizes.windows:
            goes_on = stream.keep_until(position.first + sizes.step + sizes.overlap, position.scene)
            start = position.first
            if not goes_on and position.first > position.scene:
                # A length that is compiled already; the frames before `first` are finished.
                length = sizes.last_length(stream.kept_stop - position.first)
                start = max(position.scene, stream.kept_stop - length)
            frames = stream.kept_from(start)
            only = not goes_on and stream.ended()
        else:
            goes_on, start, only = False, position.first, True
            frames = stream.rest_of_scene(position.scene)
        segment = Segment(
            position,
            frames,
            start=start,
            overlap=sizes.overlap if goes_on else 0,
            alone=position.index == 0 and only,
            clip_ended=stream.ended,
        )
        yield segment
        position = segment.after
        stream.drop_until(position.read_from(sizes))


class _Stream:
    """Frames of a clip, of which the latest are kept."""

    def __init__(self, frames: Iterable[TimedFrame], start: int):
        self._frames = iter(frames)
        self._base = start
        self.kept: list[TimedFrame] = []
        self.upcoming = next(self._frames, None)

    @property
    def kept_stop(self) -> int:
        """Returns the index of the upcoming frame."""
        return self._base + len(self.kept)

    def ended(self) -> bool:
        """Returns whether no frame is left."""
        return self.upcoming is None

    def keep_until(self, stop: int, scene: int) -> bool:
        """Keeps the frames up to `stop` or the end of the scene; returns whether it goes on."""
        while self._continues(scene) and self.kept_stop < stop:
            self.kept.append(self._take())
        return self._continues(scene)

    def kept_from(self, start: int) -> list[TimedFrame]:
        return self.kept[start - self._base :]

    def drop_until(self, start: int) -> None:
        self.kept = self.kept[max(0, start - self._base) :]
        self._base = max(self._base, start)

    def rest_of_scene(self, scene: int) -> Iterator[TimedFrame]:
        """Yields the frames of a scene without keeping them."""
        while self._continues(scene):
            self._base += 1
            yield self._take()

    def _continues(self, scene: int) -> bool:
        if self.upcoming is None:
            return False
        return self.kept_stop == scene or not self.upcoming.starts_scene

    def _take(self) -> TimedFrame:
        taken, self.upcoming = self.upcoming, next(self._frames, None)
        assert taken is not None
        return taken
