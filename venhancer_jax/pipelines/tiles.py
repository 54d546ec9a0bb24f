"""Tiles of a frame: parts of one size that overlap, by a side or by an area."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from venhancer_jax.pipelines.pieces import Box, Span, Window, symmetric_spans
from venhancer_jax.sharding.chips import chip_of_kind
from venhancer_jax.sharding.mesh import target_device

# Latents of a 720p frame of eight pixels to a latent.
LEAST_AREA = 90 * 160
# Share of a device's memory for weights and activations.
_MEMORY_SHARE = 0.9
# Remainder and modulus of the lengths that networks take along an axis.
Modulus = tuple[int, int]


def tiles_by_side(side: int, core: int | None, margin: int, modulus: Modulus) -> list[Window]:
    """Cuts rows or columns into windows of one length.

    Args:
      side: number of rows or columns.
      core: most positions of a tile without its margins; None for one tile.
      margin: positions that a tile sees beyond its core on either side.
      modulus: remainder and modulus of the lengths that networks take.
    """
    if core is None or side <= core + 2 * margin:
        return [(0, side)]
    return _cut(side, math.ceil((side - 2 * margin) / core), margin, modulus)


def tiles_by_area(
    size: tuple[int, int],
    area: int | None,
    margin: int,
    moduli: tuple[Modulus, Modulus] = ((0, 1), (0, 1)),
) -> tuple[list[Window], list[Window]]:
    """Cuts a frame into tiles of one size with the least work.

    Args:
      size: rows and columns of the frame.
      area: most pixels of a tile, with its margins; None for one tile. A tile is not smaller than
        four times its margins along an axis, whatever the area.
      margin: positions that a tile sees beyond its core on either side.
      moduli: remainder and modulus of the rows, and of the columns, that networks take.

    Returns:
      Windows of the rows, and of the columns.
    """
    if area is None or math.prod(size) <= area:
        return [(0, size[0])], [(0, size[1])]
    rows, columns = (
        [_cut(side, count, margin, modulus) for count in range(1, _most(side, margin) + 1)]
        for side, modulus in zip(size, moduli, strict=True)
    )
    grids = [(row, column) for row in rows for column in columns]
    fitting = [grid for grid in grids if _pixels(*grid) <= area]
    return min(fitting or grids[-1:], key=lambda grid: (_work(*grid), len(grid[0]) * len(grid[1])))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tiling:
    """How frames are cut into tiles for a network, in positions of its input.

    Attributes:
      margin: positions that a tile sees beyond its core on either side.
      area: most positions of a tile with its margins; None for no limit.
      core: most rows, and most columns, of a tile without its margins; None for no limit.
      moduli: remainder and modulus of the rows, and of the columns, that the network takes.
    """

    margin: int
    area: int | None = None
    core: int | None = None
    moduli: tuple[Modulus, Modulus] = ((0, 1), (0, 1))

    def requested(self, tile: str | int, overlap: int | None, pixels: int) -> "Tiling":
        """Returns the tiling that options request.

        Args:
          tile: `auto` for this tiling, `none` for no tiles, or pixels of a side of a core.
          overlap: pixels of the margin; None for that of this tiling.
          pixels: rows and columns of pixels for each position.
        """
        margin = self.margin if overlap is None else math.ceil(overlap / pixels)
        if tile == "auto":
            return dataclasses.replace(self, margin=margin)
        core = math.ceil(tile / pixels) if isinstance(tile, int) else None
        return dataclasses.replace(self, margin=margin, area=None, core=core)

    def windows(self, size: tuple[int, int]) -> tuple[list[Window], list[Window]]:
        """Returns the windows of the rows, and of the columns, of a frame of a size."""
        if self.core is None:
            return tiles_by_area(size, self.area, self.margin, self.moduli)
        rows, columns = (
            tiles_by_side(side, self.core, self.margin, modulus)
            for side, modulus in zip(size, self.moduli, strict=True)
        )
        return rows, columns


def latents_that_fit(params: Mapping[str, Any], latent_bytes: int, *, shards: int = 1) -> int:
    """Returns the most latents of a tile on the devices of the mesh in use.

    At least those of a 720p frame of eight pixels to a latent. A processor gets no more: large
    tiles leave its caches, and attention over all latents takes more work for each one of them.

    Args:
      params: parameters of the network, arrays or `jax.ShapeDtypeStruct`.
      latent_bytes: bytes of activations for each latent.
      shards: devices that share the activations of a call.
    """
    platform, kind = target_device()
    chip = chip_of_kind(kind)
    if platform == "cpu" or chip is None:
        return LEAST_AREA
    weights = sum(x.size * x.dtype.itemsize for x in params.values())
    weights /= jax.sharding.get_abstract_mesh().shape.get("fsdp", 1)
    free = _MEMORY_SHARE * chip.memory_bytes - weights
    return max(LEAST_AREA, int(free * shards / latent_bytes))


def tile_boxes(
    frames: Sequence[Span], rows: Sequence[Window], columns: Sequence[Window], *, scale: int = 1
) -> list[Box]:
    """Returns the boxes of all tiles of all windows of frames, which fade into each other.

    Args:
      frames: windows of frames with their weights.
      rows: windows of the rows.
      columns: windows of the columns.
      scale: rows and columns of the result for each one of the input.
    """
    row_spans, column_spans = (symmetric_spans(side, scale=scale) for side in (rows, columns))
    return [Box(f, row, column) for f in frames for row in row_spans for column in column_spans]


def _cut(side: int, count: int, margin: int, modulus: Modulus) -> list[Window]:
    """Cuts an axis into at most `count` windows of one length that the networks take.

    Windows start at multiples of the modulus: networks halve every window at the positions at which
    they would halve the whole axis.
    """
    remainder, step = modulus
    length = math.ceil((side + (count - 1) * 2 * margin) / count)
    length += (remainder - length) % step
    while length < side:
        count = math.ceil((side - 2 * margin) / (length - 2 * margin))
        starts = [round(i * (side - length) / (count - 1) / step) * step for i in range(count)]
        if all(b - a <= length - 2 * margin for a, b in itertools.pairwise(starts)):
            return [(start, start + length) for start in starts]
        length += step
    return [(0, side)]


def _most(side: int, margin: int) -> int:
    """Returns the largest number of windows of which each is at least twice its overlaps."""
    return max(1, (side - 2 * margin) // max(1, 2 * margin))


def _pixels(rows: Sequence[Window], columns: Sequence[Window]) -> int:
    return (rows[0][1] - rows[0][0]) * (columns[0][1] - columns[0][0])


def _work(rows: Sequence[Window], columns: Sequence[Window]) -> int:
    return len(rows) * len(columns) * _pixels(rows, columns)
