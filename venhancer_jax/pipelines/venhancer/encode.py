"""Frames to latents: resize, interpolate, pad, encode."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.encode import encode_frames
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.spilled import LazyVideo, StoredFrames, Video
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.tiles import Tiling
from venhancer_jax.pipelines.venhancer.options import ControlledOptions
from venhancer_jax.pipelines.venhancer.plan import SpacePlan
from venhancer_jax.sharding.mesh import num_shards
from venhancer_jax.video import resize
from venhancer_jax.video.frames import with_dtype
from venhancer_jax.video.motion import interpolate_frames


@dataclasses.dataclass(frozen=True)
class EncodedClip:
    """Latents of a clip.

    Attributes:
      space: sizes.
      mean: mean of the scaled latents `[1, N, h, w, C]` of N frames.
      std: standard deviation, the same shape; None where it is not needed.
    """

    space: SpacePlan
    mean: Video
    std: Video | None

    def in_memory(self) -> "EncodedClip":
        """Returns the clip with latents in memory."""
        mean, std = (
            x.read(0, x.shape[1]) if isinstance(x, LazyVideo) else x for x in (self.mean, self.std)
        )
        assert mean is not None
        return EncodedClip(self.space, mean, std)


def encode_clip(
    vae: LoadedNetwork,
    frames: Iterable[np.ndarray],
    *,
    plan_space: Callable[[int, int], SpacePlan],
    tiling: Tiling,
    options: ControlledOptions,
    interpolated: int,
    progress: Progress,
    scratch: Path | None = None,
) -> EncodedClip:
    """Encodes a clip frame by frame; frames are not stored.

    Args:
      vae: VAE.
      frames: uint8 or uint16 RGB frames `[H, W, 3]`, all of one size and type.
      plan_space: computes the sizes from height and width of the input.
      tiling: sizes of tiles, in latents.
      options: options of the user.
      interpolated: frames to add between two frames, moved there by the optical flow.
      progress: callback for the number of frames read.
      scratch: folder for the latents; None for memory.

    Raises:
      InputError: no frames, or frames of several sizes.
    """
    dtype, frames = with_dtype(frames)
    quirks = options.quirks
    scale = vae.config.scaling_factor
    means, stds = _Latents(scratch), _Latents(scratch)
    space: SpacePlan | None = None
    count = 0

    def read() -> Iterator[np.ndarray]:
        nonlocal space, count
        size = None
        for count, frame in enumerate(frames, 1):
            if space is None:
                size, space = frame.shape, plan_space(frame.shape[0], frame.shape[1])
            if frame.shape != size:
                raise InputError(f"frame {count - 1} is {frame.shape}, the first one {size}")
            yield resize_frame(frame, space.size, options)

    waiting: list[np.ndarray] = []

    def encode_waiting() -> None:
        posterior = encode_frames(vae, waiting, tiling.windows)
        waiting.clear()
        means.append(posterior.mean)
        if quirks.sample_posterior:
            stds.append(posterior.std)
        progress("encode", count, None)

    for frame in _interpolate(read(), interpolated, dtype):
        assert space is not None
        waiting.append(resize.pad(frame, space.padding, white=quirks.pad_white))
        if len(waiting) == num_shards("piece"):
            encode_waiting()
    if space is None:
        raise InputError("no frames: the video is empty or starts after its end")
    if waiting:
        encode_waiting()
    std = scale * stds.joined() if quirks.sample_posterior else None
    return EncodedClip(space, scale * means.joined(), std)


def resize_frame(
    frame: np.ndarray, size: tuple[int, int], options: ControlledOptions
) -> np.ndarray:
    """Resizes a frame to that of the output, float32 `[height, width, 3]` in [-1, 1].

    Args:
      frame: uint8 or uint16 RGB frame `[H, W, 3]`.
      size: height and width of the output.
      options: options of the user; `enlargement` is that of frames that are not shrunk.
    """
    signed = resize.to_signed(frame)
    if options.enlargement == "bicubic" and frame.shape[0] < size[0] and frame.shape[1] < size[1]:
        return resize.resize_bicubic(signed[None], size)[0].clip(-1, 1)
    return resize.resize_bilinear(signed, size, antialias=options.quirks.antialias)


class _Latents:
    """Latents that are computed one after the other."""

    def __init__(self, scratch: Path | None):
        self._scratch, self._count = scratch, 0
        self._latents: list[jax.Array] = []
        self._stored: StoredFrames | None = None

    def append(self, latents: jax.Array) -> None:
        if self._scratch is None:
            self._latents.append(latents)
            return
        if self._stored is None:
            self._stored = StoredFrames(self._scratch, latents.shape[2:], latents.dtype)
        self._stored.write(self._count, latents)
        self._count += latents.shape[1]

    def joined(self) -> Any:
        """Returns all latents `[1, N, h, w, C]`."""
        if self._stored is None:
            return jnp.concatenate(self._latents, axis=1)
        return self._stored.video(self._count)


def _interpolate(frames: Iterable[np.ndarray], count: int, dtype: np.dtype) -> Iterator[np.ndarray]:
    """Adds frames between neighbours, `[H, W, 3]` float32 in [-1, 1], as fine as `dtype`."""
    times = [Fraction(i, count + 1) for i in range(1, count + 1)]
    before: np.ndarray | None = None
    for frame in frames:
        if times and before is not None:
            pair = resize.to_bytes(before, dtype), resize.to_bytes(frame, dtype)
            yield from map(resize.to_signed, interpolate_frames(*pair, times))
        yield frame
        before = frame
