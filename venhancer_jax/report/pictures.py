"""Frames and a looped video as data of a page, of bounded size."""

import base64
import dataclasses
import math
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from venhancer_jax.report.changes import Changes
from venhancer_jax.report.clips import Clip
from venhancer_jax.video import VideoWriter

# Bytes of all pictures and of the video; base64 makes a page larger by a third.
PICTURES_BYTES = 5_500_000
VIDEO_BYTES = 2_500_000
MOST_PAIRS = 6
_LARGEST_SIDE = 1920
_VIDEO_WIDTH = 1280
_VIDEO_SECONDS = 3
_VIDEO_FRAMES = 120
_CRF, _LARGEST_CRF = 20, 40
_THUMBNAIL = 240


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """A frame as it is stored in a page.

    Attributes:
      uri: data URI.
      width: columns in pixels.
      height: rows in pixels.
      stored: how it is stored, for people.
    """

    uri: str
    width: int
    height: int
    stored: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """A frame of the output beside that of the input which is shown at its time.

    Attributes:
      label: why it was chosen.
      seconds: time after the first frame.
      frame: index of the frame of the output.
      before: frame of the input.
      after: frame of the output.
      thumbnail: the output's frame, small.
    """

    label: str
    seconds: float
    frame: int
    before: Picture
    after: Picture
    thumbnail: Picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loop:
    """A short video of input and output in step, the input above the output.

    Attributes:
      uri: data URI of an MP4.
      width: columns of a half.
      height: rows of a half.
      start: time of its first frame after that of the clip, in seconds.
      seconds: duration.
    """

    uri: str
    width: int
    height: int
    start: float
    seconds: float


def choose_frames(
    source: Clip, output: Clip, changes: Changes, scenes: tuple[int, ...]
) -> dict[int, str]:
    """Chooses frames of an output: spread over it, at cuts, and at the largest change.

    Frames between those of the input have no counterpart, so that those before them are chosen.

    Args:
      source: the input.
      output: the result.
      changes: its changes.
      scenes: first frame of each scene but the first.

    Returns:
      Reason of each frame, in order of time.
    """
    last = output.frames - 1
    chosen: dict[int, str] = {}

    def choose(frame: int, label: str) -> None:
        shown = source.index_at(output.seconds_at(frame))
        chosen.setdefault(output.index_at(source.seconds_at(shown)), label)

    choose(last // 2, "Middle" if last else "Picture")
    if (largest := changes.largest) is not None:
        choose(largest, "Largest change")
    step = max(1, len(scenes) // 2)
    for scene in scenes[::step][:2]:
        choose(scene, "After a cut")
    for frame, label in ((last // 8, "Start"), (last - last // 8, "End")):
        if len(chosen) < MOST_PAIRS:
            choose(frame, label)
    return dict(sorted(chosen.items()))


def encode_pairs(source: Clip, output: Clip, chosen: dict[int, str]) -> list[Pair]:
    """Reads and encodes frames with those of the input at their times.

    Raises:
      InputError: a video cannot be read.
    """
    budget = PICTURES_BYTES // (2 * len(chosen))
    pairs = []
    for frame, label in chosen.items():
        seconds = output.seconds_at(frame)
        after = output.frame(frame)
        pairs.append(
            Pair(
                label=label,
                seconds=seconds,
                frame=frame,
                before=encode_picture(source.frame(source.index_at(seconds)), budget),
                after=encode_picture(after, budget),
                thumbnail=encode_thumbnail(after),
            )
        )
    return pairs


def encode_picture(frame: np.ndarray, budget: int) -> Picture:
    """Encodes a frame as PNG, or as the best WebP that is small enough.

    Args:
      frame: uint8 RGB `[H, W, 3]`.
      budget: most bytes.
    """
    height, width = frame.shape[:2]
    shrunk = _shrink(frame, _LARGEST_SIDE)
    while True:
        small = "" if shrunk is frame else f", shrunk from {width}×{height}"
        rows, columns = shrunk.shape[:2]
        # The zlib of a noisy frame of this size is never smaller.
        if rows * columns < 3 * budget and len(data := _encode(shrunk, ".png")) <= budget:
            return Picture(uri=_uri("image/png", data), width=columns, height=rows,
                           stored=f"PNG, lossless{small}")  # fmt: skip
        for quality in (95, 80):
            data = _encode(shrunk, ".webp", cv2.IMWRITE_WEBP_QUALITY, quality)
            if len(data) <= budget:
                return Picture(uri=_uri("image/webp", data), width=columns, height=rows,
                               stored=f"WebP, quality {quality}{small}")  # fmt: skip
        share = min(0.9, (budget / len(data)) ** 0.5)
        shrunk = _shrink(shrunk, int(max(rows, columns) * share))


def encode_thumbnail(frame: np.ndarray) -> Picture:
    """Encodes a frame as a small JPEG."""
    small = _shrink(frame, _THUMBNAIL)
    data = _encode(small, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 80)
    return Picture(
        uri=_uri("image/jpeg", data), width=small.shape[1], height=small.shape[0], stored="JPEG"
    )


def encode_loop(source: Clip, output: Clip) -> Loop | None:
    """Encodes the middle of a clip as a video of both; None for a single frame.

    Raises:
      InputError: a video cannot be read.
    """
    rate = Fraction(output.frames / max(output.seconds, 1e-3)).limit_denominator(1001)
    count = min(output.frames, _VIDEO_FRAMES, max(2, int(_VIDEO_SECONDS * rate)))
    if count < 2:
        return None
    first = (output.frames - count) // 2
    height, width = output.size
    share = min(1.0, _VIDEO_WIDTH / width, _VIDEO_WIDTH / height)
    crf = _CRF
    with tempfile.TemporaryDirectory(prefix="report") as folder:
        path = Path(folder) / "loop.mp4"
        while True:
            size = _even(width * share), _even(height * share)
            options = {"crf": f"{crf:g}", "preset": "veryfast"}
            with VideoWriter(
                path, width=size[0], height=2 * size[1], rate=rate, options=options
            ) as writer:
                for frame in _stacked(source, output, first, count, size):
                    writer.write(frame)
            excess = path.stat().st_size / VIDEO_BYTES
            if excess <= 1:
                break
            # A video of half as many bytes has a CRF that is larger by 6; beyond, fewer pixels.
            crf = crf + math.ceil(6 * math.log2(excess)) + 1
            if crf > _LARGEST_CRF:
                share, crf = share / 2, (_CRF + _LARGEST_CRF) // 2
        data = path.read_bytes()
    return Loop(
        uri=_uri("video/mp4", data), width=size[0], height=size[1],
        start=output.seconds_at(first), seconds=float(count / rate),
    )  # fmt: skip


def _even(side: float) -> int:
    return max(16, round(side / 2) * 2)


def _stacked(
    source: Clip, output: Clip, first: int, count: int, size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Yields frames of the input, enlarged, above those of the output."""
    shown = [source.index_at(output.seconds_at(i)) for i in range(first, first + count)]
    inputs = enumerate(source.read(shown[0], shown[-1] + 1), shown[0])
    at, before = -1, None
    for wanted, after in zip(shown, output.read(first, first + count), strict=False):
        while at < wanted and (read := next(inputs, None)) is not None:
            at, picture = read
            before = _resize(picture, size)
        assert before is not None
        yield np.vstack([before, _resize(after, size)])


def _resize(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    larger = size[0] * size[1] > frame.shape[0] * frame.shape[1]
    return cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_AREA)


def _shrink(frame: np.ndarray, side: int) -> np.ndarray:
    """Returns a frame whose sides are at most `side`; the frame itself if it is."""
    height, width = frame.shape[:2]
    share = side / max(height, width)
    if share >= 1:
        return frame
    size = max(1, round(width * share)), max(1, round(height * share))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def _encode(frame: np.ndarray, suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, np.ascontiguousarray(frame[..., ::-1]), options)[1].tobytes()


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
