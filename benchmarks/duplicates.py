"""Recognition of repeated frames in compressed clips, as JSON.

    python -m benchmarks.duplicates --videos=FOLDER

Frames of real clips are repeated in the cadences of telecined and screen-captured video, and
pictures move slowly, by parts of a pixel a frame; all are encoded with x264 at several qualities.
Prints `recall`, the share of repeated frames that are recognised, and `wrong`, the share of others
that are taken for repeated ones, by quality, cadence and clip. The first and last six frames do not
count: there, few frames around tell what motion there is.
"""

import io
import itertools
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
from absl import app, flags

from benchmarks.measure import report
from venhancer_jax.video import list_videos, probe, read_frames
from venhancer_jax.video.scenes.duplicates import mark_duplicates

VIDEOS = flags.DEFINE_string("videos", None, "folder of videos")
FRAMES = flags.DEFINE_integer("frames", 30, "frames of each clip before they are repeated")
HEIGHT = flags.DEFINE_integer("height", 270, "rows of the frames")
START = flags.DEFINE_float(
    "start", 0.5, "seconds of each video that are skipped, where it has more"
)
CADENCES = {"24 in 30": (1, 1, 1, 2), "24 in 60": (2, 3), "30 in 60": (2,), "15 in 60": (4,)}
SPEEDS = (0.1, 0.25, 0.5)
QUALITIES = (18, 23, 30)
_ENDS = 6
# Mean change in levels under which a video repeats a frame itself.
_OWN_REPEAT = 0.1


def main(_: Sequence[str]) -> None:
    if VIDEOS.value is None:
        raise app.UsageError("--videos: a folder of videos is needed")
    results: dict[str, dict[str, dict[str, list[bool]]]] = {}
    for path in list_videos(VIDEOS.value):
        frames = read_clip(Path(path))
        for quality in QUALITIES:
            for name, cadence in CADENCES.items():
                source = [i for i in range(len(frames)) for _ in range(cadence[i % len(cadence)])]
                repeated = [a == b for a, b in itertools.pairwise([-1, *source])]
                found = recognised([frames[i] for i in source], quality)
                add(results, f"crf {quality}, {name}", Path(path).name, repeated, found)
            for speed in SPEEDS:
                slow = pan(frames[0], speed, len(frames))
                found = recognised(slow, quality)
                key = f"crf {quality}, pan of {speed} pixels"
                add(results, key, Path(path).name, [False] * len(slow), found)
    report({case: scores(clips) for case, clips in results.items()})


def read_clip(path: Path) -> list[np.ndarray]:
    """Reads the first frames of a video, without those that it repeats itself."""
    info = probe(path)
    width = round(info.width * HEIGHT.value / info.height / 2) * 2
    start = START.value if info.duration > 2 * START.value else 0.0
    frames: list[np.ndarray] = []
    for frame in read_frames(info, start_time=start):
        small = cv2.resize(frame, (width, HEIGHT.value), interpolation=cv2.INTER_AREA)
        if not frames or cv2.absdiff(small, frames[-1]).mean() > _OWN_REPEAT:
            frames.append(small)
        if len(frames) == FRAMES.value:
            break
    return frames


def pan(picture: np.ndarray, speed: float, count: int) -> list[np.ndarray]:
    """Moves a picture sideways by `speed` pixels a frame."""
    size = picture.shape[1], picture.shape[0]
    shifts = (np.array([[1, 0, -i * speed], [0, 1, 0]]) for i in range(count))
    how = cv2.INTER_LANCZOS4
    return [
        cv2.warpAffine(picture, shift, size, flags=how, borderMode=cv2.BORDER_REFLECT)
        for shift in shifts
    ]


def recognised(frames: Sequence[np.ndarray], quality: int) -> list[bool]:
    """Marks the repeated frames of a clip that was encoded."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream("libx264", rate=30, options={"crf": str(quality)})
        stream.height, stream.width = frames[0].shape[:2]
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as container:
        decoded = (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
        return [repeats for _, repeats in mark_duplicates(decoded)]


def add(results: dict, case: str, clip: str, repeated: list[bool], found: list[bool]) -> None:
    inner = slice(_ENDS, -_ENDS)
    results.setdefault(case, {})[clip] = {"repeated": repeated[inner], "found": found[inner]}


def scores(clips: dict[str, dict[str, list[bool]]]) -> dict[str, object]:
    """Computes recall and the share of wrong marks, of all clips and of each."""

    def rates(repeated: list[bool], found: list[bool]) -> tuple[float | None, float | None]:
        of_repeated = [f for r, f in zip(repeated, found, strict=True) if r]
        of_others = [f for r, f in zip(repeated, found, strict=True) if not r]
        first, second = (
            round(float(np.mean(x)), 3) if x else None for x in (of_repeated, of_others)
        )
        return first, second

    whole = rates(
        *([x for clip in clips.values() for x in clip[key]] for key in ("repeated", "found"))
    )
    each = {name: rates(**clip) for name, clip in clips.items()}
    return {
        "recall": whole[0],
        "wrong": whole[1],
        "clips": {name: {"recall": r, "wrong": w} for name, (r, w) in each.items()},
    }


if __name__ == "__main__":
    app.run(main)
