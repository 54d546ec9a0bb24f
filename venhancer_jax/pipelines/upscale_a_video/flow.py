"""Optical flow of a clip in both directions, at the size of the latents."""

import numpy as np

from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.raft.raft import ITERATIONS
from venhancer_jax.pipelines.flow import frame_maps, map_flows
from venhancer_jax.video.flow import dis_flow

Flows = tuple[np.ndarray, np.ndarray]


def bidirectional_flow(
    network: FunctionalModule,
    params: Params,
    frames: np.ndarray,
    *,
    official_rows: bool = False,
    iterations: int = ITERATIONS,
) -> Flows:
    """Computes the flow between neighbouring frames by RAFT.

    Every device computes its own frames and its own pairs of frames, one after the other.

    Args:
      network: RAFT.
      params: parameters of RAFT.
      frames: frames `[F, H, W, 3]` float32 in [-1, 1] of any size; networks see them resized to
        multiples of 8.
      official_rows: whether flows that are resized back keep their lengths, but for the first row,
        which is scaled by the ratio of the heights, and the second one, scaled by that of the
        widths, as in the reference implementation.
      iterations: number of updates.

    Returns:
      float32 flows `[F - 1, H, W, 2]` from each frame to the next one and back, columns then rows,
      in pixels.
    """
    height, width = frames.shape[1:3]
    if len(frames) == 1:
        nothing = np.zeros((0, height, width, 2), np.float32)
        return nothing, nothing
    maps = frame_maps(network, params, frames)
    forward, backward = (
        map_flows(
            network, params, first, second, (height, width),
            official_rows=official_rows, iterations=iterations,
        )
        for first, second in ((maps[:-1], maps[1:]), (maps[1:], maps[:-1]))
    )  # fmt: skip
    return forward, backward


def bidirectional_dis_flow(frames: np.ndarray) -> Flows:
    """Computes the flow between neighbouring frames by dense inverse search, without weights.

    Args:
      frames: frames `[F, H, W, 3]` float32 in [-1, 1].

    Returns:
      float32 flows `[F - 1, H, W, 2]` from each frame to the next one and back, columns then rows,
      in pixels.

    Raises:
      InputError: a side is below 16 pixels.
    """
    pictures = np.clip(frames * 0.5 + 0.5, 0, 1)
    shape = (max(0, len(frames) - 1), *frames.shape[1:3], 2)
    forward, backward = np.empty(shape, np.float32), np.empty(shape, np.float32)
    for i in range(len(forward)):
        forward[i] = dis_flow(pictures[i], pictures[i + 1])
        backward[i] = dis_flow(pictures[i + 1], pictures[i])
    return forward, backward
