"""Frames of the input as the networks see them."""

import dataclasses
from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.system import Clip
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions
from venhancer_jax.pipelines.upscale_a_video.plan import UpscaleAVideoPlan, plan_clip, plan_space
from venhancer_jax.video import resize


@dataclasses.dataclass(frozen=True)
class Source:
    """Low-resolution frames of a clip.

    Attributes:
      plan: plan of the clip.
      frames: `[F, h, w, 3]` float32 in [-1, 1], without padding.
    """

    plan: UpscaleAVideoPlan
    frames: np.ndarray

    def padded(self) -> np.ndarray:
        """Returns the frames `[F, h', w', 3]` with the padding of the plan."""
        return pad(self.frames, self.plan.space.padded)


def read_source(
    frames: Iterable[np.ndarray],
    rate: Fraction,
    options: UpscaleAVideoOptions,
    progress: Progress,
) -> Source:
    """Reads the frames of a clip, and shrinks those that the published program shrinks.

    Args:
      frames: uint8 or uint16 RGB frames `[H, W, 3]`, all of one size and type.
      rate: frames per second.
      options: options of the user.
      progress: callback for the number of frames read.

    Raises:
      InputError: no frames, frames of several sizes, or options that do not fit them.
    """
    read: list[np.ndarray] = []
    first: np.ndarray | None = None
    size = 0, 0
    for frame in frames:
        if first is None:
            first = frame
            size = plan_space(1, frame.shape[0], frame.shape[1], options).low_res
        if frame.shape != first.shape:
            raise InputError(f"frame {len(read)} is {frame.shape}, the first one {first.shape}")
        signed = resize.to_signed(frame)
        read.append(signed if frame.shape[:2] == size else resize.resize_area(signed, size))
        progress("read", len(read), None)
    if first is None:
        raise InputError("no frames: the video is empty or starts after its end")
    height, width = first.shape[:2]
    clip = Clip(frames=len(read), height=height, width=width, rate=rate)
    return Source(plan_clip(clip, options), np.stack(read))


def pad(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Repeats the last row and column of frames `[F, h, w, C]` up to a size."""
    below, right = size[0] - frames.shape[1], size[1] - frames.shape[2]
    return resize.pad(frames, (0, right, 0, below))
