"""Long clips in overlapping windows that are joined at every step of the solver."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.solvers import Denoise

Window = tuple[int, int]


def windowed(
    denoise_windows: Callable[[jax.Array, np.integer, Sequence[Window]], jax.Array],
    windows: Sequence[Window],
    at_once: int = 1,
) -> Denoise:
    """A denoise function of a whole clip from one of its windows.

    Args:
      denoise_windows: `(x [n, f, ...], t, windows) -> x0` of the same shape, n windows of the clip
        as a batch.
      windows: `(start, end)` of each, in order, every one overlapping or meeting the next.
      at_once: n.

    Returns:
      `(x [1, F, ...], t) -> x0`, cross-faded linearly where windows overlap.
    """

    def denoise(x: jax.Array, t: np.integer) -> jax.Array:
        parts = in_batches(lambda y, batch: denoise_windows(y, t, batch), x, windows, at_once)
        return join([*parts], windows)

    return denoise


def in_batches(
    function: Callable[[jax.Array, Sequence[Window]], jax.Array],
    x: jax.Array,
    windows: Sequence[Window],
    at_once: int,
) -> Iterator[jax.Array]:
    """A function on windows of a clip, so many as one batch.

    Args:
      function: `(x [n, f, ...], windows)` to an array `[n, ...]`.
      x: clip `[1, F, ...]`.
      windows: `(start, end)` of each; only those of one length that follow each other share a
        batch.
      at_once: n; a batch of fewer windows is filled with copies of the last one, which cost
        nothing where the batch lies on devices that would be idle.

    Yields:
      `[1, ...]`, the result of each window.
    """
    for _, alike in itertools.groupby(windows, key=lambda window: window[1] - window[0]):
        run = list(alike)
        for i in range(0, len(run), at_once):
            batch = run[i : i + at_once]
            filled = batch + [batch[-1]] * (at_once - len(batch))
            made = function(jnp.concatenate([x[:, s:e] for s, e in filled]), filled)
            yield from (made[n : n + 1] for n in range(len(batch)))


def join(parts: Sequence[jax.Array], windows: Sequence[tuple[int, int]]) -> jax.Array:
    """Cross-fades windows along the frames.

    The weight of the later window starts at exactly 0 in the first frame of the overlap.

    Args:
      parts: `[B, end - start, ...]` of each window.
      windows: `(start, end)` of each, in order.

    Returns:
      `[B, F, ...]`.
    """
    joined = parts[0]
    for part, (start, _) in zip(parts[1:], windows[1:], strict=True):
        overlap = joined.shape[1] - start
        faded = cross_fade(joined[:, start:], part[:, :overlap])
        joined = jnp.concatenate([joined[:, :start], faded, part[:, overlap:]], axis=1)
    return joined


def cross_fade(before: jax.Array, after: jax.Array) -> jax.Array:
    """`[B, n, ...]` of two windows: frame j of n is `after` with weight j / n."""
    n = before.shape[1]
    weight = (jnp.arange(n, dtype=before.dtype) / max(n, 1)).reshape(-1, *(1,) * (before.ndim - 2))
    return before * (1 - weight) + after * weight
