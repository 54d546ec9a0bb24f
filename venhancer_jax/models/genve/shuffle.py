"""Permutations of patches inside small windows of a frame."""

import jax
import jax.numpy as jnp
import numpy as np


def permute_in_windows(
    key: jax.Array, videos: tuple[int, int], patches: tuple[int, int], window: int
) -> jax.Array:
    """Draws a permutation of the patches of each frame that keeps each patch in its window.

    Local patch reshuffling of the GenVE paper, section 3.4: what is attended to need not be where
    it belongs. Windows at the last rows and columns may be smaller.

    Args:
      key: random key.
      videos: number of videos B and of frames F.
      patches: rows and columns of patches in a frame.
      window: rows and columns of patches in a window.

    Returns:
      Index `[B, F, N]` of the patch that takes each of the N places of a frame.
    """
    rows, columns = np.mgrid[: patches[0], : patches[1]] // window
    of_window = (rows * (-(-patches[1] // window)) + columns).reshape(-1)
    # Both orders list window after window: places in order, patches in random order.
    places = np.argsort(of_window, kind="stable")
    random = jax.random.uniform(key, (*videos, len(of_window)))
    order = jnp.lexsort((random, jnp.broadcast_to(of_window, random.shape)))
    return jnp.zeros(random.shape, int).at[..., places].set(order)
