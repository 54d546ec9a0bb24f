"""Long clips and large frames in overlapping pieces, blended where pieces overlap.

A piece is a box of frames, rows and columns. The weights of the pieces over one pixel sum to 1, so
a result is the weighted sum of all pieces, accumulated in place: one piece in memory at a time, one
compilation for all pieces of one shape.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from venhancer_jax.pipelines.spilled import LazyVideo, StoredFrames, Video
from venhancer_jax.sharding.mesh import constrain

Item = TypeVar("Item")
Window = tuple[int, int]
# Logical axis of each dimension of a video `[B, F, H, W, C]`, None for those that are not sharded.
Axes = tuple[str | None, ...]
UNSHARDED: Axes = (None,) * 5


@dataclasses.dataclass(frozen=True, eq=False)
class Span:
    """A piece of one axis.

    Attributes:
      start: first position.
      stop: position after the last one.
      weights: float32 weight of each position of the result, `[(stop - start) * scale]` where the
        result has `scale` positions for each one of the input.
    """

    start: int
    stop: int
    weights: np.ndarray

    def __len__(self) -> int:
        return self.stop - self.start


@dataclasses.dataclass(frozen=True, eq=False)
class Box:
    """A piece of a video: spans of frames, rows and columns."""

    frames: Span
    rows: Span
    columns: Span

    @property
    def shape(self) -> tuple[int, int, int]:
        """Returns the numbers of frames, rows and columns."""
        return len(self.frames), len(self.rows), len(self.columns)

    @property
    def start(self) -> tuple[int, int, int]:
        """Returns the first frame, row and column."""
        return self.frames.start, self.rows.start, self.columns.start


def sliding_windows(length: int, window: int, overlap: int) -> list[Window]:
    """Cuts `[0, length)` into windows; a short rest joins the last one.

    Args:
      length: length of the axis.
      window: length of every window but the last, which may be a third longer.
      overlap: positions that neighbouring windows share, fewer than `window`.

    Returns:
      `(start, stop)` of each window.

    Raises:
      ValueError: the overlap is not less than the window.
    """
    if overlap >= window:
        raise ValueError(f"an overlap of {overlap}: expected less than the window, {window}")
    start, windows = 0, []
    while start + max(window, round(1.33 * window)) < length:
        windows.append((start, start + window))
        start += window - overlap
    return [*windows, (start, length)]


def even_windows(length: int, window: int, overlap: int) -> list[Window]:
    """Cuts `[0, length)` into the fewest windows of one length, evenly spaced.

    Args:
      length: length of the axis.
      window: largest length of a window; a third more is allowed where one window is then enough.
      overlap: least number of positions that neighbouring windows share, fewer than `window`.
    """
    if length <= max(window, round(1.33 * window)):
        return [(0, length)]
    count = math.ceil((length - overlap) / (window - overlap))
    size = math.ceil((length + (count - 1) * overlap) / count)
    starts = [round(i * (length - size) / (count - 1)) for i in range(count)]
    return [(start, start + size) for start in starts]


def aligned_windows(length: int, window: int, overlap: int) -> list[Window]:
    """Cuts `[0, length)` into the fewest windows of exactly one length, evenly spaced.

    Args:
      length: length of the axis; where it is shorter than a window it is one.
      window: length of every window.
      overlap: least number of positions that neighbouring windows share, fewer than `window`.
    """
    if length <= window:
        return [(0, length)]
    count = math.ceil((length - overlap) / (window - overlap))
    starts = [round(i * (length - window) / (count - 1)) for i in range(count)]
    return [(start, start + window) for start in starts]


def key_frame_windows(
    frames: int, stride: int, limit: int, overlap: int | None = None
) -> list[Window]:
    """Cuts a clip into windows of one length that start on key frames.

    The last window overlaps more, none is padded.

    Args:
      frames: frames of the clip, one more than a multiple of `stride`.
      stride: frames from one key frame to the next.
      limit: most frames of a window, and the length up to which a clip is not cut.
      overlap: least number of frames that neighbouring windows share, of which one is always a key
        frame; None for half a window.
    """
    if frames <= limit:
        return [(0, frames)]
    intervals = max(1, (limit - 1) // stride)
    window = intervals * stride + 1
    step = key_frame_step(stride, limit, overlap) * stride
    starts = [*range(0, frames - window, step), frames - window]
    return [(start, start + window) for start in starts]


def key_frame_step(stride: int, limit: int, overlap: int | None = None) -> int:
    """Returns the key frames from one window to the next; see `key_frame_windows`."""
    intervals = max(1, (limit - 1) // stride)
    if overlap is None:
        return max(1, intervals // 2)
    return max(1, (intervals * stride + 1 - max(1, overlap)) // stride)


def window_borders(windows: Sequence[Window], *, scale: float = 1, shift: int = 0) -> list[int]:
    """Returns the first position behind each border of windows, in the middle of what they share.

    Args:
      windows: `(start, stop)` of each window, which together cover the axis.
      scale: positions of the result for each one of the axis.
      shift: positions of the result before the first one.
    """
    ordered = sorted(set(windows))
    middles = (
        round((start + max(start, stop)) / 2 * scale) + shift
        for (_, stop), (start, _) in itertools.pairwise(ordered)
    )
    return sorted(set(middles))


def whole_span(length: int, *, scale: int = 1) -> Span:
    """Returns the span of a whole axis, with weight 1."""
    return Span(0, length, np.ones(length * scale, np.float32))


def faded_spans(windows: Sequence[Window]) -> list[Span]:
    """Weighs windows such that each later one fades in linearly over the earlier ones.

    The weight of the later window is exactly 0 in the first position of an overlap.

    Args:
      windows: `(start, stop)` of each window, in order, each overlapping or meeting the next.
    """
    length = max(stop for _, stop in windows)
    remaining = np.ones(length)
    spans, reached = [], windows[0][0]
    fades = []
    for start, stop in windows:
        overlap = max(0, reached - start)
        fade = np.ones(stop - start)
        fade[:overlap] = np.arange(overlap) / max(overlap, 1)
        fades.append(fade)
        reached = max(reached, stop)
    # What the later windows leave of the earlier ones.
    for (start, stop), fade in zip(reversed(windows), reversed(fades), strict=True):
        weights = fade * remaining[start:stop]
        remaining[start:stop] *= 1 - fade
        spans.append(Span(start, stop, weights.astype(np.float32)))
    return spans[::-1]


def symmetric_spans(windows: Sequence[Window], *, scale: int = 1) -> list[Span]:
    """Weighs windows by the distance to their nearer end, normalised to sum 1 everywhere.

    Where two windows overlap they fade into each other linearly, and a mirrored axis has mirrored
    weights.

    Args:
      windows: `(start, stop)` of each window, which together cover the axis.
      scale: positions of the result for each position of the input.
    """
    total = np.zeros(max(stop for _, stop in windows) * scale)
    tents = []
    for start, stop in windows:
        position = np.arange((stop - start) * scale) + 0.5
        tents.append(np.minimum(position, position[::-1]))
        total[start * scale : stop * scale] += tents[-1]
    return [
        Span(start, stop, (tent / total[start * scale : stop * scale]).astype(np.float32))
        for (start, stop), tent in zip(windows, tents, strict=True)
    ]


def gaussian_spans(windows: Sequence[Window], *, scale: int, middle: float) -> list[Span]:
    """Weighs windows by Gaussians around their centres, normalised to sum 1 everywhere.

    Args:
      windows: `(start, stop)` of each window, which together cover the axis.
      scale: positions of the result for each position of the input.
      middle: offset of the centre from half the length, in positions of the result.
    """
    if len(windows) == 1:
        return [whole_span(windows[0][1], scale=scale)]
    bells = [gaussian((stop - start) * scale, middle) for start, stop in windows]
    total = np.zeros(max(stop for _, stop in windows) * scale)
    for (start, stop), bell in zip(windows, bells, strict=True):
        total[start * scale : stop * scale] += bell
    return [
        Span(start, stop, (bell / total[start * scale : stop * scale]).astype(np.float32))
        for (start, stop), bell in zip(windows, bells, strict=True)
    ]


def gaussian(length: int, middle: float) -> np.ndarray:
    """Computes a Gaussian of variance 0.02 in units of the length, `[length]` float64.

    Args:
      length: number of positions.
      middle: offset of the centre from `length / 2`.
    """
    variance = 0.02
    z = (np.arange(length) - (length / 2 + middle)) / length
    return np.exp(-(z**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def blend(
    function: Callable[[jax.Array, Sequence[Box]], jax.Array],
    x: Any,
    boxes: Sequence[Box],
    *,
    scale: int = 1,
    batch: int = 1,
    axes: Axes = UNSHARDED,
) -> Any:
    """Applies a function to the pieces of a video and blends the results.

    Args:
      function: `(pieces [n B, f, h, w, C], their n boxes) -> [n B, f, h scale, w scale, C']`.
      x: video `[B, F, H, W, C]`, in memory or on the disk.
      boxes: pieces, in order, whose weights sum to 1 at every pixel of the result.
      scale: rows and columns of the result for each one of `x`.
      batch: n, pieces per call; neighbours of one shape share a call, and a last call with fewer is
        filled with copies of its last piece.
      axes: logical axes of the result, by which it is sharded.

    Returns:
      `[B, F, H scale, W scale, C']` float32, where `x` is: in memory or on the disk.
    """
    if len(boxes) == 1 and batch == 1 and not isinstance(x, LazyVideo):
        return function(x, boxes)
    b, f, h, w, _ = x.shape
    total: jax.Array | None = None
    stored: StoredFrames | None = None
    for group in batches(boxes, batch, key=lambda box: box.shape):
        filled = [*group, *[group[-1]] * (batch - len(group))]
        pieces = [take(x, box) for box in filled]
        results = function(jnp.concatenate(pieces) if batch > 1 else pieces[0], filled)
        first, stop = 0, f
        if isinstance(x, LazyVideo):
            # Only the frames of the group are in memory.
            first, stop = min(b.frames.start for b in group), max(b.frames.stop for b in group)
            shape = (h * scale, w * scale, results.shape[-1])
            stored = stored or StoredFrames(x.folder, shape, np.float32)
            total = stored.read(first, stop)
        elif total is None:
            total = _zeros((b, f, h * scale, w * scale, results.shape[-1]), axes)
        for i, box in enumerate(group):
            result = results if batch == 1 else results[i * b : (i + 1) * b]
            weights = box.frames.weights, box.rows.weights, box.columns.weights
            frame, row, column = box.start
            corner = frame - first, row * scale, column * scale
            total = _add(total, result, weights, corner, axes)
        if stored is not None and total is not None:
            stored.write(first, total)
    if stored is not None:
        return stored.video(f)
    assert total is not None
    return total


def take(x: Video, box: Box) -> jax.Array:
    """Returns a piece `[B, f, h, w, C]` of a video `[B, F, H, W, C]`."""
    if isinstance(x, LazyVideo):
        frames = x.read(box.frames.start, box.frames.stop)
        return _take(frames, (0, box.rows.start, box.columns.start), box.shape)
    return _take(x, box.start, box.shape)


def batches(
    items: Sequence[Item], size: int, *, key: Callable[[Item], object]
) -> Iterator[list[Item]]:
    """Groups neighbouring items of one key into lists of at most `size`."""
    for _, alike in itertools.groupby(items, key=key):
        run = list(alike)
        yield from (run[i : i + size] for i in range(0, len(run), size))


@functools.partial(jax.jit, static_argnames="shape")
def _take(x: jax.Array, start: tuple[int, int, int], shape: tuple[int, int, int]) -> jax.Array:
    return jax.lax.dynamic_slice(x, (0, *start, 0), (len(x), *shape, x.shape[-1]))


@functools.partial(jax.jit, static_argnames=("shape", "axes"))
def _zeros(shape: tuple[int, ...], axes: Axes) -> jax.Array:
    return constrain(jnp.zeros(shape, jnp.float32), axes)


@functools.partial(jax.jit, donate_argnames="total", static_argnames="axes")
def _add(
    total: jax.Array,
    piece: jax.Array,
    weights: tuple[jax.Array, jax.Array, jax.Array],
    start: tuple[int, int, int],
    axes: Axes,
) -> jax.Array:
    """Adds a weighted piece `[B, f, h, w, C]` at its position."""
    frames, rows, columns = weights
    weighted = piece * rearrange(frames, "f -> f 1 1 1")
    weighted = weighted * rearrange(rows, "h -> h 1 1") * rearrange(columns, "w -> w 1")
    corner = (0, *start, 0)
    before = jax.lax.dynamic_slice(total, corner, weighted.shape)
    return constrain(jax.lax.dynamic_update_slice(total, before + weighted, corner), axes)
