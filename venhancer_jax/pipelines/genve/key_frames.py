"""Which frames are key frames, and which of them each frame takes its texture from."""

import dataclasses

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.genve.options import GenVEOptions


@dataclasses.dataclass(frozen=True, eq=False)
class KeyFrames:
    """Key frames of a segment.

    Attributes:
      positions: index of each key frame in the segment, rising.
      nearest: number `[F]` of the key frame nearest to each frame of the segment.
    """

    positions: tuple[int, ...]
    nearest: np.ndarray


def check_key_frame(options: GenVEOptions, frames: int) -> None:
    """Checks that the key frame is in the clip.

    Args:
      options: options of the user.
      frames: number of frames of the clip.

    Raises:
      InputError: a key frame after the last frame.
    """
    if options.reference != "none" and options.key_frame >= frames:
        raise InputError(
            f"key_frame {options.key_frame}: expected an index below {frames}, the number of"
            " frames, or -1 for the middle"
        )


def choose_key_frames(frames: int, start: int, options: GenVEOptions) -> KeyFrames:
    """Chooses the key frames of a segment: by default its middle, which is near to all frames.

    Args:
      frames: number of frames of the segment.
      start: index of its first frame in the clip.
      options: options of the user; a `key_frame` of another segment counts for nothing here.
    """
    positions = [frames // 2]
    if options.key_every:
        middles = np.arange(start, start + frames) % options.key_every == options.key_every // 2
        positions = np.flatnonzero(middles).tolist() or positions
    elif start <= options.key_frame < start + frames:
        positions = [options.key_frame - start]
    distances = np.abs(np.arange(frames)[:, None] - np.array(positions))
    return KeyFrames(tuple(positions), distances.argmin(axis=1))
