"""Clips of one scene each."""

import itertools

from venhancer_jax.errors import InputError


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
