"""Clean latents carried from frame to frame along optical flow, where the flow can be trusted.

Upscale-A-Video (arXiv 2312.06640), section 3.3. A frame depends on its neighbour's result, so every
device holds all frames; it computes all of a pass, whose work is small.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp

from venhancer_jax.sharding.mesh import constrain

Interpolation = Literal["nearest", "bilinear"]
Mode = Literal["fuse", "copy"]


@partial(jax.jit, static_argnames=("interpolation", "mode"))
def propagate(
    x0: jax.Array,
    forward: jax.Array,
    backward: jax.Array,
    *,
    interpolation: Interpolation = "nearest",
    mode: Mode = "fuse",
    beta: float = 0.5,
    alpha1: float = 0.001,
    alpha2: float = 0.05,
) -> jax.Array:
    """Mixes every frame with its warped neighbour: from the last frame to the first, then back.

    The second pass works on the result of the first. Pixels whose flow is not consistent stay.

    Args:
      x0: clean latents `[B, F, h, w, C]`; videos are independent.
      forward: flows `[F - 1, h, w, 2]` from each frame to the next, columns then rows, in latents.
      backward: flows `[F - 1, h, w, 2]` from each frame to the one before.
      interpolation: how neighbours are sampled.
      mode: `fuse` mixes by `beta`, `copy` takes the warped neighbour whole.
      beta: share of the warped neighbour.
      alpha1: error of a consistent flow relative to its squared length.
      alpha2: error of a consistent flow in square pixels.

    Returns:
      Clean latents `[B, F, h, w, C]`.
    """
    if x0.shape[1] == 1:
        return x0
    x0, forward, backward = (constrain(x, (None,) * x.ndim) for x in (x0, forward, backward))
    share = jnp.asarray(1.0 if mode == "copy" else beta, x0.dtype)

    def run_pass(frames: jax.Array, flow: jax.Array, back: jax.Array, reverse: bool) -> jax.Array:
        """Propagates `[F, B, h, w, C]` along the flows to the neighbours `[F - 1, h, w, 2]`."""
        weights = share * consistency_mask(flow, back, alpha1, alpha2).astype(frames.dtype)
        first, rest = (frames[-1], frames[:-1]) if reverse else (frames[0], frames[1:])

        def step(
            neighbour: jax.Array, of_frame: tuple[jax.Array, ...]
        ) -> tuple[jax.Array, jax.Array]:
            frame, flow, weight = of_frame
            flow = jnp.broadcast_to(flow, (len(frame), *flow.shape))
            warped = warp(neighbour, flow, interpolation)
            mixed = weight * warped + (1 - weight) * frame
            return mixed, mixed

        _, mixed = jax.lax.scan(step, first, (rest, flow, weights), reverse=reverse)
        return jnp.concatenate([mixed, first[None]] if reverse else [first[None], mixed])

    frames = jnp.moveaxis(x0, 1, 0)
    frames = run_pass(frames, forward, backward, True)
    frames = run_pass(frames, backward, forward, False)
    return jnp.moveaxis(frames, 0, 1)


def warp(x: jax.Array, flow: jax.Array, interpolation: Interpolation = "nearest") -> jax.Array:
    """Samples pictures at `p + flow(p)`; outside of them is 0.

    Positions are rounded like those of PyTorch's `grid_sample` with aligned corners, which takes
    them in [-1, 1]; the nearest pixel of a half is the even one.

    Args:
      x: pictures `[N, h, w, C]`.
      flow: displacements `[N, h, w, 2]`, columns then rows, in pixels.
      interpolation: `nearest` or `bilinear`.

    Returns:
      `[N, h, w, C]`.
    """
    height, width = x.shape[1:3]
    rows = _position(jnp.arange(height, dtype=flow.dtype)[:, None] + flow[..., 1], height)
    columns = _position(jnp.arange(width, dtype=flow.dtype) + flow[..., 0], width)
    if interpolation == "nearest":
        return _take(x, jnp.round(rows), jnp.round(columns))
    top, left = jnp.floor(rows), jnp.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    upper = (1 - right) * _take(x, top, left) + right * _take(x, top, left + 1)
    lower = (1 - right) * _take(x, top + 1, left) + right * _take(x, top + 1, left + 1)
    return (1 - down) * upper + down * lower


def consistency_mask(
    flow: jax.Array, back: jax.Array, alpha1: float = 0.001, alpha2: float = 0.05
) -> jax.Array:
    """Masks pixels from which the flow back leads to the start (arXiv 2312.06640, equation 5).

    Args:
      flow: displacements `[N, h, w, 2]` to other frames, columns then rows, in pixels.
      back: displacements `[N, h, w, 2]` from the other frames.
      alpha1: allowed squared error, relative to the squared lengths of both flows.
      alpha2: allowed squared error in square pixels.

    Returns:
      bool `[N, h, w, 1]`.
    """
    back = warp(back, flow, "bilinear")
    error = _squared(flow + back)
    return error < alpha1 * (_squared(flow) + _squared(back)) + alpha2


def _position(p: jax.Array, length: int) -> jax.Array:
    """Rounds positions as normalising them to [-1, 1] and back does."""
    # A compiler multiplies by the inverse of a divisor that all elements share, and takes n for
    # (n - 1) + 1: both round otherwise. So every element has its divisor, and a barrier is between.
    last = 0 * p + max(length - 1, 1)
    normalised = jax.lax.optimization_barrier(2 * p / last - 1)
    return (normalised + 1) / 2 * last


def _take(x: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Returns pixels of `[N, h, w, C]` at whole positions `[N, h, w]`, 0 outside."""
    height, width = x.shape[1:3]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    # Far positions would overflow as integers.
    row = jnp.clip(rows, 0, height - 1).astype(jnp.int32)
    column = jnp.clip(columns, 0, width - 1).astype(jnp.int32)
    taken = jax.vmap(lambda x, row, column: x[row, column])(x, row, column)
    return jnp.where(inside[..., None], taken, 0)


def _squared(flow: jax.Array) -> jax.Array:
    return jnp.square(flow).sum(-1, keepdims=True)
