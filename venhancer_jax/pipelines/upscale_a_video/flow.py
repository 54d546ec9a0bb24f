"""Optical flow of a clip in both directions, at the size of the latents."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.layers.chunking import map_chunks
from venhancer_jax.models.raft.raft import ITERATIONS, STRIDE
from venhancer_jax.sharding.mesh import constrain, num_shards, put_sharded
from venhancer_jax.sharding.params import all_gathered
from venhancer_jax.sharding.shard_map import Axes, shard_map_over
from venhancer_jax.video.flow import dis_flow
from venhancer_jax.video.resize import resize_area, resize_bilinear

Flows = tuple[np.ndarray, np.ndarray]

# Logical axes of frames and of their maps, and of the two flows of pairs.
_FRAMES = ("piece", None, None, None)
_PAIRS = ("piece", None, None, None, None)


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
    size = (-(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE)
    resized = frames
    if size != (height, width):
        resized = resize_bilinear(frames, size, antialias=False)
    maps = _in_pieces(partial(_encode, network, params), resized)
    both = _in_pieces(partial(flows_of_pairs, network, iterations, params), maps[:-1], maps[1:])
    if size != (height, width):
        both = resize_bilinear(both, (height, width), antialias=False)
        ratios = height / size[0], width / size[1]
        if official_rows:
            for row, ratio in enumerate(ratios[: both.shape[2]]):
                both[:, :, row] *= np.float32(ratio)
        else:
            both = both * np.array(ratios[::-1], np.float32)
    return both[:, 0], both[:, 1]


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


def resize_flows(flows: np.ndarray, size: tuple[int, int], *, official: bool = False) -> np.ndarray:
    """Averages flows over the areas of other pixels, and measures them in those pixels.

    Args:
      flows: displacements `[..., H, W, 2]`, columns then rows, in pixels.
      size: height and width of the result.
      official: whether displacements along both axes are scaled by the ratio of the widths, as in
        the reference implementation.

    Returns:
      float32 `[..., height, width, 2]`.
    """
    height, width = flows.shape[-3:-1]
    if (height, width) == tuple(size):
        return flows
    of_rows, of_columns = size[0] / height, size[1] / width
    ratios = np.array([of_columns, of_columns if official else of_rows], np.float32)
    return resize_area(flows, size) * ratios


@partial(jax.jit, static_argnums=0)
def _encode(network: FunctionalModule, params: Params, frames: jax.Array) -> jax.Array:
    """Computes features and context `[n, h, w, C]` of frames `[n, H, W, 3]`."""

    def of_frame(params: Params, frame: jax.Array) -> jax.Array:
        raft = network.bind(params)
        return jnp.concatenate([raft.features(frame), raft.context(frame)], axis=-1)

    return _map_pieces(of_frame, params, [frames], _FRAMES)


@partial(jax.jit, static_argnums=(0, 1))
def flows_of_pairs(
    network: FunctionalModule, iterations: int, params: Params, first: jax.Array, second: jax.Array
) -> jax.Array:
    """Computes the flows of n pairs of frames.

    Args:
      network: RAFT.
      iterations: number of updates.
      params: parameters of RAFT.
      first: features and context of first frames, `[n, H / 8, W / 8, C]`.
      second: features and context of second frames, `[n, H / 8, W / 8, C]`.

    Returns:
      float32 flows `[n, 2, H, W, 2]`, forward and backward.
    """

    def of_pair(params: Params, first: jax.Array, second: jax.Array) -> jax.Array:
        raft = network.bind(params)
        split = raft.config.features

        def flow(start: jax.Array, end: jax.Array) -> jax.Array:
            features, context = start[..., :split], start[..., split:]
            return raft.flow(features, end[..., :split], context, iterations)

        return jnp.stack([flow(first, second), flow(second, first)], axis=1)

    return _map_pieces(of_pair, params, [first, second], _PAIRS)


def _map_pieces(
    function: Callable[..., jax.Array],
    params: Params,
    pieces: Sequence[jax.Array],
    out_axes: Axes,
) -> jax.Array:
    """Applies a function to pieces `[n, ...]` one by one, on every device to its own pieces.

    The result is whole on every device, so that every process can read it.
    """

    def per_device(params: Params, *pieces: jax.Array) -> jax.Array:
        return map_chunks(partial(function, params), pieces, 1)

    axes = [_FRAMES] * len(pieces)
    out = shard_map_over(per_device, pieces, axes, out_axes, params=all_gathered(params))
    return constrain(out, (None,) * out.ndim)


def _in_pieces(compute: Callable[..., jax.Array], *arrays: np.ndarray) -> np.ndarray:
    """Computes one entry `[n, ...]` of arrays per device at a time; copies fill idle devices."""
    count, length = num_shards("piece"), len(arrays[0])
    results = []
    for start in range(0, length, count):
        entries = np.minimum(np.arange(start, start + count), length - 1)
        computed = compute(*(put_sharded(x[entries], _FRAMES) for x in arrays))
        results.append(np.asarray(computed)[: length - start])
    return np.concatenate(results)
