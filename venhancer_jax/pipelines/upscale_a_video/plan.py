"""Plan of an enhancement as data: sizes, tiles, windows, chunks.

A plan needs no network and can be printed before anything is compiled.
"""

import dataclasses
import math
from fractions import Fraction

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.frame_times import nearest_frames
from venhancer_jax.pipelines.pieces import (
    Box,
    Span,
    Window,
    aligned_windows,
    symmetric_spans,
    whole_span,
    window_borders,
)
from venhancer_jax.pipelines.system import Borders, Clip, Output
from venhancer_jax.pipelines.tiles import tiles_by_side
from venhancer_jax.pipelines.upscale_a_video import official
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions

# Enlargement of the networks.
SCALE = 4
# Working sizes are multiples of this, so that few shapes compile and levels are halved evenly.
MULTIPLE = 8
_LEAST_OUTPUT = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tile:
    """A part of the frames that is enhanced by itself, in pixels of the input.

    Attributes:
      rows: `(start, stop)` of the rows that the networks see.
      columns: `(start, stop)` of the columns that the networks see.
      core_rows: rows that the result has of the tile.
      core_columns: columns that the result has of the tile.
    """

    rows: Window
    columns: Window
    core_rows: Window
    core_columns: Window

    @property
    def size(self) -> tuple[int, int]:
        """Returns the numbers of rows and columns that the networks see."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpacePlan:
    """Sizes in pixels, `(height, width)`.

    Attributes:
      size: frames of the output.
      low_res: frames of the input, shrunk where the published program shrinks them.
      padded: frames of the input with the rows and columns that are repeated below and right.
      tiles: parts that are enhanced by themselves, row by row; one in the default.
      rows: overlapping parts of the rows of a tile, which are blended in each step.
      columns: overlapping parts of the columns of a tile.
    """

    size: tuple[int, int]
    low_res: tuple[int, int]
    padded: tuple[int, int]
    tiles: tuple[Tile, ...]
    rows: tuple[Window, ...]
    columns: tuple[Window, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class UpscaleAVideoPlan:
    """Plan of one clip.

    Attributes:
      clip: input clip.
      space: sizes.
      frames: windows of frames that are denoised together.
      chunks: chunks of frames that are decoded together.
      take: input frame of each frame of the output.
      rate: frames per second of the output.
    """

    clip: Clip
    space: SpacePlan
    frames: tuple[Span, ...]
    chunks: tuple[Span, ...]
    take: tuple[int, ...]
    rate: Fraction

    @property
    def output(self) -> Output:
        """Returns size and rate of the output."""
        return Output(frames=len(self.take), size=self.space.size, rate=self.rate)

    @property
    def working_size(self) -> tuple[int, int]:
        """Returns `(height, width)` of the padded frames after the enlargement, in pixels."""
        return SCALE * self.space.padded[0], SCALE * self.space.padded[1]

    @property
    def window(self) -> int:
        """Returns the number of frames of a window."""
        return max(map(len, self.frames))

    @property
    def window_count(self) -> int:
        """Returns the number of windows: of frames, times tiles."""
        return len(self.frames) * sum(len(self.spans(tile, 1)) for tile in self.space.tiles)

    @property
    def borders(self) -> Borders:
        """Returns where windows and tiles meet."""
        space, tiles = self.space, self.space.tiles
        rows, columns = list(space.rows), list(space.columns)
        if len(tiles) > 1:
            rows, columns = [t.core_rows for t in tiles], [t.core_columns for t in tiles]
        sides = []
        for windows, low_res, side in zip((rows, columns), space.low_res, space.size, strict=True):
            found = window_borders(windows, scale=side / low_res)
            sides.append(tuple(border for border in found if 0 < border < side))
        windows = [(span.start, span.stop) for span in self.frames]
        return Borders(frames=tuple(window_borders(windows)), rows=sides[0], columns=sides[1])

    @property
    def work(self) -> int:
        """Returns the number of pixels that the networks see, to compare clips by."""
        return math.prod(self.working_size) * self.clip.frames

    @property
    def spilled(self) -> bool:
        """Returns False: propagation sees all frames, which stay in memory."""
        return False

    def spans(self, tile: Tile, scale: int) -> list[tuple[Span, Span]]:
        """Returns the rows and columns of the parts of a tile, weighted for a result.

        Args:
          tile: one of the tiles of the plan.
          scale: rows and columns of the result for each one of the input.
        """
        if len(self.space.tiles) > 1:
            height, width = tile.size
            return [(whole_span(height, scale=scale), whole_span(width, scale=scale))]
        rows, columns = (
            symmetric_spans(windows, scale=scale)
            for windows in (self.space.rows, self.space.columns)
        )
        return [(row, column) for row in rows for column in columns]

    def boxes(self, tile: Tile) -> list[Box]:
        """Returns the windows of a tile, which are blended in each step."""
        return [Box(f, row, column) for f in self.frames for row, column in self.spans(tile, 1)]

    def decoder_tiles(self, tile: Tile, frames: int) -> list[Box]:
        """Returns the parts of a chunk of some frames of a tile, which are decoded one by one."""
        whole = whole_span(frames)
        return [Box(whole, row, column) for row, column in self.spans(tile, SCALE)]


def plan_clip(clip: Clip, options: UpscaleAVideoOptions) -> UpscaleAVideoPlan:
    """Plans the enhancement of a clip.

    Raises:
      InputError: options that do not fit the clip.
    """
    rate = options.output_rate(clip.rate)
    if options.quirks.published_size and rate != clip.rate:
        raise InputError(
            f"{float(rate):g} frames per second from {float(clip.rate):g}: compat 'official' keeps"
            " the rate; leave fps_scale and target_fps, or use compat 'default'"
        )
    return UpscaleAVideoPlan(
        clip=clip,
        space=plan_space(clip.frames, clip.height, clip.width, options),
        frames=_windows(clip.frames, options),
        chunks=_chunks(clip.frames, options),
        take=nearest_frames(clip.frames, rate / clip.rate),
        rate=rate,
    )


def plan_space(frames: int, height: int, width: int, options: UpscaleAVideoOptions) -> SpacePlan:
    """Plans the sizes for `frames` frames of `height` by `width` pixels.

    Raises:
      InputError: options that do not fit the size.
    """
    if options.quirks.published_size:
        return _published_space(frames, height, width, options)
    size = options.target_size or (
        max(1, round(height * options.up_scale)),
        max(1, round(width * options.up_scale)),
    )
    if min(size) < _LEAST_OUTPUT:
        raise InputError(
            f"an output of {size[0]}x{size[1]} (height x width) from {height}x{width}: both sides"
            f" must have at least {_LEAST_OUTPUT} pixels; raise up_scale or target_size"
        )
    options.check_output_size(*size)
    padded = math.ceil(height / MULTIPLE) * MULTIPLE, math.ceil(width / MULTIPLE) * MULTIPLE
    tile = tile_side(height, width, options)
    rows, columns = (
        tiles_by_side(side, tile, options.tile_overlap, (0, MULTIPLE)) for side in padded
    )
    return SpacePlan(
        size=size,
        low_res=(height, width),
        padded=padded,
        tiles=(_whole(padded),),
        rows=tuple(rows),
        columns=tuple(columns),
    )


def tile_side(height: int, width: int, options: UpscaleAVideoOptions) -> int | None:
    """Returns rows and columns of a tile of frames of `height` by `width`; None without tiles."""
    if isinstance(options.tile, int):
        return options.tile
    # The published program has no way to leave large frames whole.
    wanted = options.tile == "auto" or options.quirks.published_tiles
    return official.TILE if wanted and height * width >= official.TILED_AREA else None


def _published_space(
    frames: int, height: int, width: int, options: UpscaleAVideoOptions
) -> SpacePlan:
    if min(height, width) >= official.LARGE:
        height, width = height // official.SHRINK, width // official.SHRINK
    size = SCALE * height, SCALE * width
    options.check_output_size(*size)
    if options.up_scale != SCALE and options.target_size is None:
        raise InputError(
            f"up_scale {options.up_scale:g}: compat 'official' enlarges exactly {SCALE} times; use"
            f" up_scale {SCALE}, or compat 'default' for any size"
        )
    if options.target_size not in (None, size):
        raise InputError(
            f"target_size {options.target_size}: compat 'official' enlarges exactly {SCALE} times,"
            f" to {size[0]},{size[1]}; leave target_size, or use compat 'default' for any size"
        )
    flows = options.propagation_steps and options.flow == "raft" and frames > 1
    if flows and min(height, width) < official.LEAST_FLOW_SIDE:
        raise InputError(
            f"propagation_steps {options.propagation_steps}: frames of {height}x{width} (height x"
            f" width), of which compat 'official' computes no optical flow; expected at least"
            f" {official.LEAST_FLOW_SIDE} pixels on both sides. compat 'default' pads smaller ones"
        )
    tile = tile_side(height, width, options)
    tiles = [_whole((height, width))]
    if tile is not None:
        rows, columns = (
            official.tile_sides(side, tile, options.tile_overlap) for side in (height, width)
        )
        tiles = [
            Tile(rows=r, columns=c, core_rows=core_r, core_columns=core_c)
            for r, core_r in rows
            for c, core_c in columns
        ]
    if not tiles:
        raise InputError(
            f"tile {options.tile}: frames of {height}x{width} (height x width), whose shorter side"
            f" compat 'official' leaves empty; expected more than {options.tile_overlap} pixels on"
            " both sides with tiles. Use tile none, or compat 'default'"
        )
    return SpacePlan(
        size=size,
        low_res=(height, width),
        padded=(height, width),
        tiles=tuple(tiles),
        rows=((0, height),),
        columns=((0, width),),
    )


def _whole(size: tuple[int, int]) -> Tile:
    rows, columns = (0, size[0]), (0, size[1])
    return Tile(rows=rows, columns=columns, core_rows=rows, core_columns=columns)


def _windows(frames: int, options: UpscaleAVideoOptions) -> tuple[Span, ...]:
    if options.quirks.published_windows:
        return tuple(official.window_spans(frames, options.window, options.window_overlap))
    windows = aligned_windows(frames, options.window, options.window_overlap)
    return tuple(symmetric_spans(windows))


def _chunks(frames: int, options: UpscaleAVideoOptions) -> tuple[Span, ...]:
    chunk = options.decode_chunk
    if options.quirks.published_chunks:
        windows = official.decode_windows(frames, chunk)
        return tuple(Span(*window, whole_span(window[1] - window[0]).weights) for window in windows)
    return tuple(symmetric_spans(aligned_windows(frames, chunk, 0)))
