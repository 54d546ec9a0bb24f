"""Work of a system on its mesh of devices."""

import contextlib
from collections.abc import Iterable, Iterator

import jax
import numpy as np
import numpy.typing as npt
from jax.sharding import Mesh

from venhancer_jax.pipelines import programs
from venhancer_jax.sharding.mesh import num_shards


class OnMesh:
    """Base of systems, which compute on a mesh; callers of a system have it not in use.

    Attributes:
      mesh: devices to use together; None for one device.
    """

    mesh: Mesh | None

    def on_mesh(self) -> contextlib.AbstractContextManager:
        """Returns a context in which work is sharded over the mesh."""
        return contextlib.nullcontext() if self.mesh is None else jax.set_mesh(self.mesh)

    def each_on_mesh(self, stream: Iterator[jax.Array]) -> Iterator[jax.Array]:
        """Computes each item of a stream on the mesh, which is not in use between items."""
        while True:
            with self.on_mesh():
                item = next(stream, None)
            if item is None:
                return
            yield item

    def num_pieces(self) -> int:
        """Returns the number of pieces that the mesh encodes or decodes together."""
        with self.on_mesh():
            return num_shards("piece")

    def to_bytes(
        self,
        stream: Iterable[jax.Array | np.ndarray],
        *,
        truncate: bool,
        dtype: npt.DTypeLike = np.uint8,
    ) -> Iterator[np.ndarray]:
        """Converts frames `[n, H, W, 3]` in [-1, 1] to integer frames `[H, W, 3]`, one by one.

        Args:
          stream: frames, some at a time.
          truncate: whether to truncate instead of rounding.
          dtype: uint8, or uint16 with white at 65,535.
        """
        for frames in stream:
            with self.on_mesh():
                pixels = programs.to_bytes(frames, truncate=truncate, dtype=dtype)
            # Sharded pixels could not be read by each process.
            assert pixels.is_fully_replicated
            yield from np.asarray(pixels)
