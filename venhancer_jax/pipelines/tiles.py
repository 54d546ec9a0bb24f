"""Tiles of a frame: parts of one size that overlap, by a side or by an area."""

import itertools
import math
from collections.abc import Sequence

from venhancer_jax.pipelines.pieces import Box, Span, Window, symmetric_spans

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
