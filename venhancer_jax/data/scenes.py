"""Scene cuts."""

import itertools
from collections.abc import Iterable

import numpy as np
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from venhancer_jax.errors import InputError

DIFFERENCE = 0.1
# Ratio of the change at a cut to the mean change of the frames around it, two on either side.
_PEAK = 3.0
_NEIGHBOURS = 2
# Rows or columns that are compared; cuts show at any size.
_SIDE = 64


def find_cuts(
    frames: Iterable[np.ndarray], *, difference: float = DIFFERENCE
) -> tuple[list[int], int]:
    """Finds the frames at which a new scene begins.

    A cut is where the brightness of the picture changes far more than around (PySceneDetect's
    adaptive detector): fast motion changes the picture in all frames alike.

    Args:
      frames: pictures, uint8 RGB `[H, W, 3]`, one after the other.
      difference: smallest mean absolute change of brightness at a cut, 0 to 1.

    Returns:
      Indices of frames, ascending and without 0, and the number of all frames.
    """
    detector = AdaptiveDetector(
        adaptive_threshold=_PEAK,
        min_scene_len=1,
        window_width=_NEIGHBOURS,
        min_content_val=255 * difference,
        luma_only=True,
    )
    cuts: list[int] = []

    def look_at(index: int, frame: np.ndarray) -> None:
        step = max(1, min(frame.shape[:2]) // _SIDE)
        small = np.ascontiguousarray(frame[::step, ::step])
        found = detector.process_frame(FrameTimecode(index, fps=25.0), small)
        cuts.extend(timecode.frame_num - _NEIGHBOURS for timecode in found)

    frames = iter(frames)
    if (first := next(frames, None)) is None:
        return [], 0
    # Only frames with neighbours on both sides can be cuts, so the ends are repeated.
    index, frame = 0, first
    for index, frame in enumerate(itertools.chain([first] * (_NEIGHBOURS + 1), frames)):
        look_at(index, frame)
    for i in range(_NEIGHBOURS):
        look_at(index + 1 + i, frame)
    return cuts, index + 1 - _NEIGHBOURS


def split(cuts: list[int], frames: int, *, least: int, most: int) -> list[tuple[int, int]]:
    """Divides a video into clips of one scene each; short scenes are skipped.

    Args:
      cuts: frames at which scenes begin, ascending.
      frames: number of frames of the video.
      least: smallest number of frames of a clip.
      most: largest number of frames of a clip; longer scenes are cut into equal parts.

    Returns:
      First frame of each clip, and the frame after its last one.

    Raises:
      InputError: `most` is less than `least`.
    """
    if most < least:
        raise InputError(f"max_frames={most} is less than min_frames={least}")
    clips = []
    for start, end in zip([0, *cuts], [*cuts, frames], strict=True):
        # Equal parts leave no short rest.
        parts = max(1, -(-(end - start) // most))
        edges = [start + (end - start) * i // parts for i in range(parts + 1)]
        clips += [edge for edge in itertools.pairwise(edges) if edge[1] > edge[0]]
    return [(start, end) for start, end in clips if end - start >= least]
