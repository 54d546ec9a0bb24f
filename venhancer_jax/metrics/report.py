"""Scores as a table, as JSON, and as a picture to look at."""

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
from av import CodecContext, VideoFrame
from av.video.codeccontext import VideoCodecContext

from venhancer_jax.metrics.lr_consistency import box_resize

Scores = Mapping[str, Mapping[str, float | None]]
_DIGITS = 5
_LARGEST_WIDTH = 480
_ERROR_GAIN = 4
_GAP = 4


def mean_scores(clips: Scores) -> dict[str, float | None]:
    """By metric: the mean over the clips that have a value, None where none has."""
    names = next(iter(clips.values()))
    known = {name: [s for c in clips.values() if (s := c[name]) is not None] for name in names}
    return {name: sum(values) / len(values) if values else None for name, values in known.items()}


def table(clips: Scores) -> str:
    """Clips as rows, metrics as columns, and their mean; `-` where there is no value."""
    rows = {**clips, "mean": mean_scores(clips)}
    cells = [["clip", *next(iter(clips.values()))]]
    cells += [[name, *map(_cell, scores.values())] for name, scores in rows.items()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in cells
    )


def to_json(clips: Scores) -> str:
    """`{"clips": {name: {metric: value}}, "mean": {metric: value}}`.

    Numbers are unrounded, null where there is no value, and the text "inf" where a value is
    infinite, for which JSON has no number.
    """
    document = {"clips": clips, "mean": mean_scores(clips)}
    return json.dumps(_finite(document), indent=2, allow_nan=False) + "\n"


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:#.{_DIGITS}g}"


def _finite(value):
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def strip_row(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """One frame as prediction | target | error.

    Args:
      pred: uint8 RGB `[H, W, 3]`.
      target: the same.

    Returns:
      uint8 RGB; pictures wider than 480 columns are made smaller. The error is the absolute
      difference times four.
    """
    error = np.minimum(_ERROR_GAIN * np.abs(pred.astype(int) - target), 255).astype(np.uint8)
    pictures = np.stack([pred, target, error])
    height, width = pred.shape[:2]
    if width > _LARGEST_WIDTH:
        height = max(1, round(height * _LARGEST_WIDTH / width))
        pictures = np.round(255 * box_resize(pictures, height, _LARGEST_WIDTH)).astype(np.uint8)
    gap = np.zeros((height, _GAP, 3), np.uint8)
    return np.concatenate([pictures[0], gap, pictures[1], gap, pictures[2]], axis=1)


def strip_png(rows: Sequence[np.ndarray]) -> bytes:
    """Rows of `strip_row` below each other, as the bytes of a PNG file."""
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, _GAP), (0, width - row.shape[1]), (0, 0))) for row in rows]
    picture = np.concatenate(padded)
    encoder = CodecContext.create("png", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt = "rgb24"
    # Threads would hold packets back.
    encoder.thread_count = 1
    packets = encoder.encode(VideoFrame.from_ndarray(picture, format="rgb24"))
    return b"".join(bytes(packet) for packet in [*packets, *encoder.encode(None)])
