"""A clip enhanced segment by segment, in memory that does not grow with its length."""

import dataclasses
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from venhancer_jax.pipelines.continuation import FinishedLatents, Place
from venhancer_jax.pipelines.frame_times import OutputClock, at_output_times
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.segments import (
    CLIP_START,
    Position,
    Segment,
    TimedFrame,
    cut_into_segments,
)
from venhancer_jax.pipelines.system import System


@dataclasses.dataclass(frozen=True)
class StreamState:
    """State between two segments: with it a stream resumes.

    Attributes:
      position: position of the next segment.
      finished: latents that the next segment continues; None at the start of a scene.
    """

    position: Position = CLIP_START
    finished: FinishedLatents | None = None


STREAM_START = StreamState()


@dataclasses.dataclass(frozen=True)
class StreamedSegment:
    """A segment of the output.

    Attributes:
      segment: segment of the input.
      frames: frames of the output, uint8 RGB `[H, W, 3]`, each with the tick of `OutputClock` at
        which it is shown; computed as they are read, once, before the next segment.
      count: number of these frames.
      ends_clip: whether the clip ends with the segment.
      after: state after the segment.
    """

    segment: Segment
    frames: Iterator[tuple[np.ndarray, int]]
    count: int
    ends_clip: bool
    after: StreamState


def enhance_stream(
    system: System,
    frames: Iterable[TimedFrame],
    *,
    rate: Fraction,
    clock: OutputClock,
    options: Any,
    progress: Progress,
    state: StreamState = STREAM_START,
    scratch: Path | None = None,
) -> Iterator[StreamedSegment]:
    """Enhances a clip segment by segment.

    A segment is a function of its frames, the options, the weights and the finished latents of the
    segment before it.

    Args:
      system: networks with weights.
      frames: frames of the input from `state.position.read_from(sizes)` on.
      rate: frames per second of the input.
      clock: times at which the frames of the output are shown.
      options: options of the system.
      progress: callback for the progress of each stage.
      state: state after the last finished segment.
      scratch: folder for the latents of scenes that are too long for memory, where all windows are
        joined; None for memory.

    Yields:
      Segments in order.

    Raises:
      InputError: no frames, frames of several sizes, or options that do not fit them.
    """
    sizes = system.segment_sizes(rate, options)
    for segment in cut_into_segments(frames, sizes, state.position):
        continues = segment.first > segment.scene
        place = Place(
            start=segment.start,
            first=segment.first,
            finished=state.finished if continues else None,
            alone=segment.alone,
            scratch=None if sizes.windows else scratch,
        )
        enhanced = system.enhance_segment(
            segment.pixels(), rate=rate, options=options, place=place, progress=progress
        )
        ends_clip = segment.ends_clip
        outputs = clock.outputs(segment.times, ends_scene=segment.ends_scene, ends_clip=ends_clip)
        finished = None if segment.ends_scene else enhanced.finished
        state = StreamState(segment.after, finished)
        shown = at_output_times(enhanced.decode(segment.stop), outputs, progress)
        yield StreamedSegment(segment, shown, len(outputs), ends_clip, state)
