"""Optical flow by RAFT: frames and pairs of frames, one per device at a time."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.layers.chunking import map_chunks
from venhancer_jax.models.raft.raft import ITERATIONS, STRIDE
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.sharding.mesh import constrain, num_shards, put_sharded
from venhancer_jax.sharding.params import all_gathered
from venhancer_jax.sharding.shard_map import shard_map_over
from venhancer_jax.video.resize import resize_bilinear

# Frames of this size have more than one pixel on each level of the pyramid of RAFT.
LEAST_SIDE = 128
# Logical axes of frames, their maps and their flows.
_FRAMES = ("piece", None, None, None)


def check_raft(raft: LoadedNetwork | None, setting: str) -> None:
    """Checks that RAFT is loaded for a setting that needs it.

    Args:
      raft: optical flow network; None without its weights.
      setting: name and value of the setting.

    Raises:
      InputError: RAFT is not loaded.
    """
    if raft is None:
        raise InputError(
            f"{setting}: expected the weights of RAFT; set --config.flow_checkpoint=FILE, or"
            " --config.flow=dis, which needs none"
        )


def frame_maps(network: FunctionalModule, params: Params, frames: np.ndarray) -> np.ndarray:
    """Computes what RAFT sees of frames, which are resized to multiples of 8.

    Args:
      network: RAFT.
      params: parameters of RAFT.
      frames: frames `[n, H, W, 3]` float32 in [-1, 1] of any size.

    Returns:
      Features and context `[n, H' / 8, W' / 8, C]`.
    """
    height, width = frames.shape[1:3]
    size = (-(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE)
    if size != (height, width):
        frames = resize_bilinear(frames, size, antialias=False)
    return _in_pieces(partial(_encode, network, params), frames)


def map_flows(
    network: FunctionalModule,
    params: Params,
    first: np.ndarray,
    second: np.ndarray,
    size: tuple[int, int],
    *,
    official_rows: bool = False,
    iterations: int = ITERATIONS,
) -> np.ndarray:
    """Computes the flow of pairs of frames from their maps.

    Args:
      network: RAFT.
      params: parameters of RAFT.
      first: maps `[n, h, w, C]` of first frames (`frame_maps`).
      second: maps `[n, h, w, C]` of second frames.
      size: height and width of the frames.
      official_rows: whether flows that are resized back keep their lengths, but for the first row,
        which is scaled by the ratio of the heights, and the second one, scaled by that of the
        widths, as in the reference implementation.
      iterations: number of updates.

    Returns:
      float32 flows `[n, H, W, 2]` from first to second frames, columns then rows, in pixels.
    """
    flows = _in_pieces(partial(flows_of_pairs, network, iterations, params), first, second)
    computed = flows.shape[1:3]
    if computed != size:
        flows = resize_bilinear(flows, size, antialias=False)
        ratios = size[0] / computed[0], size[1] / computed[1]
        if official_rows:
            for row, ratio in enumerate(ratios[: flows.shape[1]]):
                flows[:, row] *= np.float32(ratio)
        else:
            flows = flows * np.array(ratios[::-1], np.float32)
    return flows


@partial(jax.jit, static_argnums=0)
def _encode(network: FunctionalModule, params: Params, frames: jax.Array) -> jax.Array:
    """Computes features and context `[n, h, w, C]` of frames `[n, H, W, 3]`."""

    def of_frame(params: Params, frame: jax.Array) -> jax.Array:
        raft = network.bind(params)
        return jnp.concatenate([raft.features(frame), raft.context(frame)], axis=-1)

    return _map_pieces(of_frame, params, [frames])


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
      float32 flows `[n, H, W, 2]`.
    """

    def of_pair(params: Params, first: jax.Array, second: jax.Array) -> jax.Array:
        raft = network.bind(params)
        split = raft.config.features
        features, context = first[..., :split], first[..., split:]
        return raft.flow(features, second[..., :split], context, iterations)

    return _map_pieces(of_pair, params, [first, second])


def _map_pieces(
    function: Callable[..., jax.Array], params: Params, pieces: Sequence[jax.Array]
) -> jax.Array:
    """Applies a function to pieces `[n, ...]` one by one, on every device to its own pieces.

    The result is whole on every device, so that every process can read it.
    """

    def per_device(params: Params, *pieces: jax.Array) -> jax.Array:
        return map_chunks(partial(function, params), pieces, 1)

    axes = [_FRAMES] * len(pieces)
    out = shard_map_over(per_device, pieces, axes, _FRAMES, params=all_gathered(params))
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
