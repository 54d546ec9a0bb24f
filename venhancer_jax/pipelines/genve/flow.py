"""Direct optical flow from each frame to its key frame, at the size of the latents."""

from collections.abc import Sequence

import numpy as np

from venhancer_jax.pipelines.flow import LEAST_SIDE, frame_maps, map_flows
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.venhancer.plan import SpacePlan
from venhancer_jax.sharding.mesh import num_shards
from venhancer_jax.video import resize
from venhancer_jax.video.flow import dis_flow


def direct_flows(
    raft: LoadedNetwork | None,
    frames: Sequence[np.ndarray],
    keys: Sequence[np.ndarray],
    nearest: np.ndarray,
    space: SpacePlan,
    pixels: int,
) -> np.ndarray:
    """Computes the flow from each frame to its key frame, not over the frames between them.

    Args:
      raft: optical flow network; None for dense inverse search, which has no weights.
      frames: frames of the input `[H, W, 3]`, uint8 or uint16.
      keys: key frames `[H, W, 3]`, uint8 or uint16.
      nearest: key frame `[F]` of each frame.
      space: sizes of the output.
      pixels: rows and columns of pixels of the output for each latent.

    Returns:
      float32 displacements `[F, h, w, 2]`, columns then rows, in latents of the padded output.
    """
    count, size = num_shards("piece"), frames[0].shape[:2]
    pictures = _padded(keys)
    seen = None if raft is None else frame_maps(raft.network, raft.params, pictures)
    flows = []
    for start in range(0, len(frames), count):
        first, index = _padded(frames[start : start + count]), nearest[start : start + count]
        if raft is None or seen is None:
            pairs = zip(first, pictures[index], strict=True)
            found = np.stack([dis_flow(a * 0.5 + 0.5, b * 0.5 + 0.5) for a, b in pairs])
        else:
            maps = frame_maps(raft.network, raft.params, first)
            found = map_flows(raft.network, raft.params, maps, seen[index], pictures.shape[1:3])
        flows.append(flows_in_latents(found[:, : size[0], : size[1]], space, pixels))
    return np.concatenate(flows)


def flows_in_latents(flows: np.ndarray, space: SpacePlan, pixels: int) -> np.ndarray:
    """Averages flows of the input over the latents of the padded output.

    The padding moves like the edge that it repeats.

    Args:
      flows: displacements `[n, H, W, 2]`, columns then rows, in pixels of the input.
      space: sizes of the output.
      pixels: rows and columns of pixels of the output for each latent.

    Returns:
      float32 displacements `[n, h, w, 2]`, in latents.
    """
    left, _, top, _ = space.padding
    sides = zip(flows.shape[1:3], space.size, space.working_size, (top, left), strict=True)
    weights, ratios = [], []
    for length, side, working, before in sides:
        step = pixels * length / side
        weights.append(_means(length, working // pixels, step, -before * length / side))
        ratios.append(1 / step)
    averaged = resize.weighted_sums(weights[0], flows, axis=-3)
    averaged = resize.weighted_sums(weights[1], averaged, axis=-2)
    return averaged * np.array(ratios[::-1], np.float32)


def _means(length: int, count: int, step: float, start: float) -> np.ndarray:
    """Returns weights `[count, length]` of means over intervals; the edges go on for ever.

    Args:
      length: number of samples, each over an interval of length 1 from 0.
      count: number of means.
      step: length of the interval of each mean.
      start: start of the first interval.
    """
    lower = start + step * np.arange(count)[:, None]
    edges = np.arange(length + 1, dtype=float)
    edges[[0, -1]] = -np.inf, np.inf
    shared = np.minimum(lower + step, edges[1:]) - np.maximum(lower, edges[:-1])
    return (np.maximum(shared, 0) / step).astype(np.float32)


def _padded(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Returns frames as float32 in [-1, 1], whose edges are repeated up to the least size."""
    signed = resize.to_signed(np.stack(frames))
    below, right = (max(0, LEAST_SIDE - side) for side in signed.shape[1:3])
    return resize.pad(signed, (0, right, 0, below))
