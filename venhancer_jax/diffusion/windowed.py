"""Long clips in overlapping windows that are joined at every step of the solver."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

DenoiseWindow = Callable[[jax.Array, np.integer, tuple[int, int]], jax.Array]


def windowed(
    denoise_window: DenoiseWindow, windows: Sequence[tuple[int, int]]
) -> Callable[[jax.Array, np.integer], jax.Array]:
    """A denoise function of a whole clip from one of its windows.

    Args:
      denoise_window: `(x [B, f, ...], t, (start, end)) -> x0` of the same shape.
      windows: `(start, end)` of each, in order, every one overlapping or meeting the next.

    Returns:
      `(x [B, F, ...], t) -> x0`, cross-faded linearly where windows overlap.
    """

    def denoise(x: jax.Array, t: np.integer) -> jax.Array:
        return join(
            [denoise_window(x[:, start:end], t, (start, end)) for start, end in windows], windows
        )

    return denoise


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
