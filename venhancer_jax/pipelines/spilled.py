"""Latents of long scenes on the disk: computed, stored and read a few frames at a time.

Where all windows of a scene are joined at every step, the latents of the whole scene wait from one
step to the next. As a `LazyVideo` they take part in the arithmetic of a solver like an array, and
only the frames that are read are in memory. Each frame goes through the operations that it goes
through in an array, so that the results are equal bit by bit.
"""

import dataclasses
import operator
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.noise import CounterNoise
from venhancer_jax.sharding.mesh import put_sharded
from venhancer_jax.sharding.processes import fetch_to_host

# Frames that are computed and stored together.
_BLOCK = 8


@dataclasses.dataclass(frozen=True, eq=False)
class LazyVideo:
    """A video whose frames are computed, or read from the disk, when they are requested.

    Attributes:
      shape: `(1, F, h, w, C)`.
      read: function from `start` and `stop` to the frames `[1, stop - start, h, w, C]`.
      folder: folder for what is stored.
    """

    shape: tuple[int, ...]
    read: Callable[[int, int], jax.Array]
    folder: Path
    # NumPy's scalars leave operators to this class.
    __array_ufunc__ = None

    def __getitem__(self, key: tuple[slice, slice | np.ndarray]) -> "LazyVideo":
        _, frames = key
        index = np.arange(self.shape[1])[frames]

        def read(start: int, stop: int) -> jax.Array:
            wanted = index[start:stop]
            first, last = int(wanted.min()), int(wanted.max())
            found = self.read(first, last + 1)
            if np.array_equal(wanted, np.arange(first, last + 1)):
                return found
            return found[:, wanted - first]

        return self.with_frames(read, len(index))

    def __add__(self, other: "LazyVideo") -> "LazyVideo":
        return self._combined(operator.add, other)

    def __sub__(self, other: "LazyVideo") -> "LazyVideo":
        return self._combined(operator.sub, other)

    def __mul__(self, factor: float) -> "LazyVideo":
        return self.with_frames(lambda start, stop: self.read(start, stop) * factor)

    def __rmul__(self, factor: float) -> "LazyVideo":
        return self.with_frames(lambda start, stop: factor * self.read(start, stop))

    def __truediv__(self, divisor: float) -> "LazyVideo":
        return self.with_frames(lambda start, stop: self.read(start, stop) / divisor)

    def block_until_ready(self) -> None:
        """Does nothing: what is read is ready."""

    def stored(self) -> "LazyVideo":
        """Computes all frames; returns the video from the disk."""
        stored: StoredFrames | None = None
        for start in range(0, self.shape[1], _BLOCK):
            frames = self.read(start, min(start + _BLOCK, self.shape[1]))
            stored = stored or StoredFrames(self.folder, frames.shape[2:], frames.dtype)
            stored.write(start, frames)
        assert stored is not None
        return stored.video(self.shape[1])

    def _combined(self, operation: Callable, other: "LazyVideo") -> "LazyVideo":
        return self.with_frames(lambda a, b: operation(self.read(a, b), other.read(a, b)))

    def with_frames(
        self, read: Callable[[int, int], jax.Array], frames: int | None = None
    ) -> "LazyVideo":
        """Returns a video of the same size with other frames.

        Args:
          read: function from `start` and `stop` to the frames.
          frames: number of frames, by default that of this video.
        """
        shape = (1, self.shape[1] if frames is None else frames, *self.shape[2:])
        return LazyVideo(shape, read, self.folder)


Video = jax.Array | LazyVideo


class StoredFrames:
    """Frames in a file without a name, which is gone with the last video that reads it."""

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: np.typing.DTypeLike) -> None:
        """Creates the file; frames that are not written are zero.

        Args:
          folder: folder of the file.
          shape: `(h, w, C)` of a frame.
          dtype: type of the values.
        """
        self._folder, self._shape, self._dtype = folder, shape, np.dtype(dtype)
        self._frame_bytes = int(np.prod(shape)) * self._dtype.itemsize
        # Closed by the garbage collector: videos that are computed from it may be read later.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def write(self, start: int, frames: jax.Array) -> None:
        """Writes frames `[1, n, h, w, C]` from position `start` on."""
        self._file.seek(start * self._frame_bytes)
        self._file.write(np.ascontiguousarray(fetch_to_host(frames)).view(np.uint8).data)
        self._file.flush()

    def read(self, start: int, stop: int) -> jax.Array:
        """Reads frames `[1, stop - start, h, w, C]`."""
        content = np.zeros((stop - start) * self._frame_bytes, np.uint8)
        self._file.seek(start * self._frame_bytes)
        self._file.readinto(content.data)
        frames = content.view(self._dtype).reshape(1, stop - start, *self._shape)
        return jnp.asarray(put_sharded(frames, (None,) * frames.ndim))

    def video(self, frames: int) -> LazyVideo:
        """Returns the first frames as a video."""
        return LazyVideo((1, frames, *self._shape), self.read, self._folder)


@dataclasses.dataclass(frozen=True)
class LazyNoise:
    """Noise of a `LazyVideo`.

    Attributes:
      noise: noise by absolute frames.
      folder: folder for what is stored.
    """

    noise: CounterNoise
    folder: Path

    def __call__(self, stream: str, step: int, shape: tuple[int, ...]) -> LazyVideo:
        def read(start: int, stop: int) -> jax.Array:
            noise = dataclasses.replace(self.noise, first_frame=self.noise.first_frame + start)
            return noise(stream, step, (shape[0], stop - start, *shape[2:]))

        return LazyVideo(shape, read, self.folder)


def map_frames(function: Callable[..., jax.Array], *videos: Any) -> Any:
    """Applies a function of frames, each by itself, to videos that are all in memory or not.

    Args:
      function: `(frames [1, n, h, w, C], ...) -> [1, n, h, w, C]`.
      *videos: videos of one length.
    """
    if not isinstance(videos[0], LazyVideo):
        return function(*videos)
    return videos[0].with_frames(lambda a, b: function(*(x.read(a, b) for x in videos)))


def scale_frames(video: Any, factors: np.ndarray) -> Any:
    """Multiplies each frame of a video by its own factor `[F]`."""
    if not isinstance(video, LazyVideo):
        return jnp.asarray(factors)[:, None, None, None] * video
    return video.with_frames(
        lambda a, b: jnp.asarray(factors[a:b])[:, None, None, None] * video.read(a, b)
    )


def read_frames(video: Video, start: int, stop: int) -> jax.Array:
    """Returns the frames `[1, stop - start, h, w, C]` of a video in memory or on the disk."""
    if isinstance(video, LazyVideo):
        return video.read(start, min(stop, video.shape[1]))
    return video[:, start:stop]
