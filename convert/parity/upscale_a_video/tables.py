"""Replays of tables: windows and their weights, chunks of the decoder, tiles."""

import re
from typing import Any

import numpy as np

from venhancer_jax.convert.parity.case import Case, equal_tables
from venhancer_jax.convert.parity.recording import Recording
from venhancer_jax.pipelines.upscale_a_video import official
from venhancer_jax.pipelines.upscale_a_video.plan import SCALE


def replay_segments(recording: Recording) -> list[Case]:
    """Replays windows of frames, the weight of each in every frame, and chunks to decode."""
    lengths = recording.info["table"]["lengths"]
    functions = {
        "segments": official.time_windows,
        "per_frame": _shares,
        "decode_chunks": official.decode_windows,
    }
    return [
        equal_tables(
            f"{recording.path.stem}/{name}",
            {key: function(int(key)) for key in lengths},
            {key: row[name] for key, row in lengths.items()},
        )
        for name, function in functions.items()
    ]


def replay_tiles(recording: Recording) -> list[Case]:
    """Replays what each tile sees, and its part of the result."""
    cases = recording.info["table"]["cases"]
    tiles = {key: _tiles(key) for key in cases}
    return [
        equal_tables(
            f"{recording.path.stem}/{name}",
            {key: tile[name] for key, tile in tiles.items()},
            {key: row[name] for key, row in cases.items()},
        )
        for name in ("input_tile_hw", "output_boxes_y0y1x0x1", "uncovered_fraction")
    ]


def _shares(frames: int) -> list[dict[str, list[Any]]]:
    shares = official.window_shares(frames, official.time_windows(frames))
    return [
        {
            "segment_index": np.flatnonzero(of_frame).tolist(),
            "weight": of_frame[of_frame > 0].tolist(),
        }
        for of_frame in shares.T
    ]


def _tiles(key: str) -> dict[str, object]:
    """Computes the tiles of a case such as `w640_h360_tile256`."""
    width, height, side = map(int, re.findall(r"\d+", key))
    tiles = [
        (*row, *column)
        for row in official.tile_sides(height, side)
        for column in official.tile_sides(width, side)
    ]
    covered = np.zeros((height, width), bool)
    for _, rows, _, columns in tiles:
        covered[slice(*rows), slice(*columns)] = True
    return {
        "input_tile_hw": [(r[1] - r[0], c[1] - c[0]) for r, _, c, _ in tiles],
        "output_boxes_y0y1x0x1": [
            tuple(SCALE * i for i in (*rows, *columns)) for _, rows, _, columns in tiles
        ],
        "uncovered_fraction": float(1 - covered.mean()),
    }
