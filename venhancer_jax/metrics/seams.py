"""Visibility of borders: between tiles of a frame, between windows of a clip, between shots."""

from collections.abc import Collection
from typing import Literal

import numpy as np

from venhancer_jax.errors import InputError

Axis = Literal["frames", "rows", "columns"]
_AXES: dict[Axis, int] = {"frames": 0, "rows": 1, "columns": 2}


def seam_index(frames: np.ndarray, borders: Collection[int], *, axis: Axis) -> float:
    """Computes how much larger jumps across borders are than elsewhere.

    The mean absolute difference of neighbours across the borders over that of all other neighbours:
    1 where borders cannot be told from the rest, above 1 where they show. Content has jumps of its
    own, so a result is read against the index of a result without borders at the same positions.

    Args:
      frames: RGB frames `[F, H, W, 3]`, uint8, uint16 or floats.
      borders: positions of the first frame, row or column behind each border, above 0.
      axis: axis that the borders cut, `frames`, `rows` or `columns`.

    Returns:
      Ratio of the two means: 1 if nothing changes anywhere, infinite if only borders jump.

    Raises:
      InputError: a border outside the video, or no neighbours but those at borders.
    """
    length = frames.shape[_AXES[axis]]
    outside = [border for border in borders if not 0 < border < length]
    if outside:
        raise InputError(f"border {outside[0]} of {length} {axis}: expected 1 to {length - 1}")
    is_border = np.zeros(length - 1, bool)
    is_border[[border - 1 for border in borders]] = True
    if is_border.all() or not is_border.any():
        raise InputError(
            f"{is_border.sum()} borders in {length} {axis}: expected one or more, and neighbours"
            " without a border to compare with"
        )
    jumps = [_jump(frames, i, _AXES[axis]) for i in range(length - 1)]
    return jump_ratio(np.array(jumps), is_border)


def jump_ratio(jumps: np.ndarray, is_border: np.ndarray) -> float:
    """Computes the mean jump across borders over the mean of all others.

    Args:
      jumps: mean absolute difference of neighbours `[N]`.
      is_border: whether a border is between the neighbours, bool `[N]`, neither all nor none.

    Returns:
      Ratio of the two means: 1 if nothing changes anywhere, infinite if only borders jump.
    """
    across, elsewhere = jumps[is_border].mean(), jumps[~is_border].mean()
    if elsewhere == 0:
        return 1.0 if across == 0 else float("inf")
    return float(across / elsewhere)


def _jump(frames: np.ndarray, index: int, axis: int) -> float:
    """Computes the mean absolute difference of one position and the next."""
    first, second = (np.take(frames, i, axis).astype(np.float32) for i in (index, index + 1))
    return float(np.abs(second - first).mean())
