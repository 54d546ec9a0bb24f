"""How a segment continues the one before it."""

import dataclasses
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from venhancer_jax.diffusion.solvers import Denoise
from venhancer_jax.pipelines.spilled import Video, read_frames
from venhancer_jax.sharding.mesh import put_sharded
from venhancer_jax.sharding.processes import fetch_to_host


@dataclasses.dataclass(frozen=True, eq=False)
class FinishedLatents:
    """Clean latents at the end of a segment, on the host.

    Attributes:
      first: input frame of the first latents.
      values: latents `[1, G, h, w, C]` of the grid, up to the last frame of the segment.
    """

    first: int
    values: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """Place of a segment in its clip.

    Attributes:
      start: input frame with which the segment begins.
      first: first input frame whose result is of the segment.
      finished: latents of the segment before it in the scene; None where the scene begins.
      alone: whether the clip has no other segment. Among others a segment that is shorter than a
        window may be extended to a length that compiles once for many.
      scratch: folder for the latents of a segment that is too long for memory; None for memory.
    """

    start: int = 0
    first: int = 0
    finished: FinishedLatents | None = None
    alone: bool = True
    scratch: Path | None = None

    def keep(self, latents: Video, *, stride: int, window: int) -> FinishedLatents:
        """Fetches what the next segment may need of the latents of this one.

        Args:
          latents: clean latents `[1, G, h, w, C]` of the segment's grid.
          stride: frames of the grid from one input frame to the next.
          window: input frames of a window.
        """
        frames = (latents.shape[1] - 1) // stride + 1
        skipped = max(0, frames - window)
        kept = read_frames(latents, skipped * stride, latents.shape[1])
        return FinishedLatents(self.start + skipped, fetch_to_host(kept))

    def known(self, stride: int) -> np.ndarray | None:
        """Returns the latents `[1, G, h, w, C]` of the first G frames of the segment's grid."""
        if self.finished is None:
            return None
        return self.finished.values[:, (self.start - self.finished.first) * stride :]

    def lead(self, stride: int, frames: int) -> np.ndarray | None:
        """Returns the latents of at most `frames` frames of the grid before the segment."""
        if self.finished is None:
            return None
        position = (self.start - self.finished.first) * stride
        return self.finished.values[:, max(0, position - frames) : position]


WHOLE_CLIP = Place()


def continuing(denoise: Denoise, place: Place, stride: int) -> Denoise:
    """Returns a denoiser that continues the segment before it.

    The latents of frames that are finished are held. Where the segments overlap, the segment fades
    in at each step over the finished latents, like a window over the one before it.

    Args:
      denoise: denoiser of the segment, `(x [1, F, h, w, C], t) -> x0`.
      place: place of the segment.
      stride: frames of the grid from one input frame to the next.
    """
    known = place.known(stride)
    if known is None or not known.shape[1]:
        return denoise
    held = (place.first - place.start) * stride
    shared = known.shape[1] - held
    weights = np.concatenate([np.zeros(held), np.arange(shared) / max(shared, 1)])
    finished = jnp.asarray(put_sharded(known, (None,) * known.ndim))
    weights = jnp.asarray(weights, jnp.float32)

    def continued(x: jax.Array, t: np.integer) -> jax.Array:
        return _fade_in(denoise(x, t), finished, weights)

    return continued


@partial(jax.jit, donate_argnums=0)
def _fade_in(x0: jax.Array, finished: jax.Array, weights: jax.Array) -> jax.Array:
    """Blends the first frames of `x0` with finished ones, by the weight `[G]` of `x0`."""
    fade = rearrange(weights, "g -> g 1 1 1")
    head = finished + fade * (x0[:, : len(weights)] - finished)
    return x0.at[:, : len(weights)].set(head)
