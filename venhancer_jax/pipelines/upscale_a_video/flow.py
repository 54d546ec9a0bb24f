"""Optical flow of a clip in both directions, at the size of the latents."""

import numpy as np

from venhancer_jax.video.resize import resize_area


def resize_flows(flows: np.ndarray, size: tuple[int, int], *, official: bool = False) -> np.ndarray:
    """Averages flows over the areas of other pixels, and counts them in those.

    Args:
      flows: displacements `[..., H, W, 2]`, columns then rows, in pixels.
      size: height and width of the result.
      official: whether displacements along columns are scaled by the ratio of the widths, as in the
        reference implementation, in place of that of the heights.

    Returns:
      float32 `[..., height, width, 2]`.
    """
    height, width = flows.shape[-3:-1]
    if (height, width) == tuple(size):
        return flows
    of_rows, of_columns = size[0] / height, size[1] / width
    ratios = np.float32([of_columns, of_columns if official else of_rows])
    return resize_area(flows, size) * ratios
