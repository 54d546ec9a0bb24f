"""Differences between the published program and the default, as values."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compat:
    """Choices in which the published program has quirks.

    Attributes:
      published_windows: windows of frames start at regular intervals, so that the last ones may be
        equal, and every later one takes half of the weight where it overlaps.
      published_tiles: tiles are denoised and decoded one after the other with noise of their own,
        and only their cores are used; a last tile may be larger than the others.
      published_chunks: the last chunk of frames that are decoded together may be shorter.
      published_size: frames are enlarged exactly four times at the rate of the input, after large
        ones are shrunk to a quarter.
      published_rows: the flow is scaled in two rows in place of its two components.
      join_without_space: prompt and positive prompt are joined without a separator.
      guide_above_one: guidance of less than 1 is none.
      truncate_bytes: pixels are truncated to uint8 instead of rounded.
    """

    published_windows: bool = False
    published_tiles: bool = False
    published_chunks: bool = False
    published_size: bool = False
    published_rows: bool = False
    join_without_space: bool = False
    guide_above_one: bool = False
    truncate_bytes: bool = False


COMPATS = {
    "default": Compat(),
    "official": Compat(
        published_windows=True,
        published_tiles=True,
        published_chunks=True,
        published_size=True,
        published_rows=True,
        join_without_space=True,
        guide_above_one=True,
        truncate_bytes=True,
    ),
}
