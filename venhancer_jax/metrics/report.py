"""Scores as a table, as JSON, and as a picture."""

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
    """Averages each metric over the clips that have a value; None where none has.

    Args:
      clips: value of each metric of each clip.
    """
    names = next(iter(clips.values()))
    known = {name: [s for c in clips.values() if (s := c[name]) is not None] for name in names}
    return {name: sum(values) / len(values) if values else None for name, values in known.items()}


def table(clips: Scores) -> str:
    """Formats scores as text: clips as rows, metrics as columns, `-` for no value.

    Args:
      clips: value of each metric of each clip.
    """
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
    """Formats scores as JSON: `{"clips": {name: {metric: value}}, "mean": {metric: value}}`.

    Numbers are unrounded; no value is null, and infinity, for which JSON has no number, is "inf".

    Args:
      clips: value of each metric of each clip.
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
    """Places result, target and four times the absolute error side by side.

    Args:
      pred: frame of the result, uint8 RGB `[H, W, 3]`.
      target: frame of the target, uint8 RGB `[H, W, 3]`.

    Returns:
      uint8 RGB; pictures wider than 480 columns are shrunk.
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
    """Stacks rows of pictures and encodes them as a PNG file.

    Args:
      rows: results of `strip_row`, of any width.
    """
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
