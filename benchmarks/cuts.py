"""Detectors of scene cuts on clips whose cuts are known, as JSON.

    python -m benchmarks.cuts --videos=FOLDER [--sweep]

The clips are whole videos whose cuts were labelled by eye (`cuts.csv`, by file name), and sequences
of their shots: cuts between shots of different videos and of one, to a closer view, to shots of one
frame, between dark, grainy and pillarboxed shots, with repeated frames; and, without a cut,
flashes, whip pans, fades and dissolves. The detectors are that of `venhancer_jax.video.scenes.cuts`
and those of PySceneDetect. Prints precision, recall and F1 of each, over all clips and by kind;
with `--sweep` at several thresholds.
"""

import csv
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from absl import app, flags
from scenedetect import FrameTimecode
from scenedetect.detectors import (
    AdaptiveDetector,
    ContentDetector,
    HashDetector,
    HistogramDetector,
)

from benchmarks.measure import report
from venhancer_jax.video import read_frames
from venhancer_jax.video.scenes.cuts import SIMILARITY, find_cuts

VIDEOS = flags.DEFINE_string("videos", None, "folder of videos", required=True)
LABELS = flags.DEFINE_string(
    "labels", str(Path(__file__).with_suffix(".csv")), "CSV file: video, indices of its cuts"
)
HEIGHT = flags.DEFINE_integer("height", 144, "rows of the frames")
FRAMES = flags.DEFINE_integer("frames", None, "frames of each video; all by default")
SHOTS = flags.DEFINE_integer("shots", 16, "shots that are joined, at most")
SWEEP = flags.DEFINE_bool("sweep", False, "whether detectors run at several thresholds")

Frames = list[np.ndarray]
# Frames, and the indices at which scenes begin.
Clip = tuple[Frames, list[int]]
_SHOT = 24


def _scenedetect(build: Callable[[float], Any]) -> Callable[[Frames, float], list[int]]:
    def detect(frames: Frames, threshold: float) -> list[int]:
        detector = build(threshold)
        found = []
        for i, frame in enumerate(frames):
            found += detector.process_frame(FrameTimecode(i, fps=25.0), frame[..., ::-1].copy())
        found += detector.post_process(FrameTimecode(len(frames) - 1, fps=25.0))
        return [cut.frame_num for cut in found]

    return detect


def _adaptive(smallest: float, **options) -> Callable[[Frames, float], list[int]]:
    return _scenedetect(
        lambda threshold: AdaptiveDetector(
            threshold, min_scene_len=1, min_content_val=smallest, **options
        )
    )


# Detector, its threshold, and thresholds of the sweep.
DETECTORS = {
    "venhancer": (
        lambda frames, threshold: find_cuts(frames, similarity=threshold)[0],
        SIMILARITY,
        (0.3, 0.35, 0.4, 0.5, 0.55, 0.6),
    ),
    "adaptive, luma": (_adaptive(25.5, luma_only=True), 3.0, (1.5, 2.0, 2.5, 4.0, 5.0)),
    "adaptive": (_adaptive(15.0), 3.0, (1.5, 2.0, 2.5, 4.0, 5.0)),
    "content": (
        _scenedetect(lambda threshold: ContentDetector(threshold, min_scene_len=1)),
        27.0,
        (15.0, 20.0, 35.0, 45.0),
    ),
    "histogram": (
        _scenedetect(lambda threshold: HistogramDetector(threshold, min_scene_len=1)),
        0.05,
        (0.1, 0.2, 0.3, 0.5),
    ),
    "hash": (
        _scenedetect(lambda threshold: HashDetector(threshold, min_scene_len=1)),
        0.395,
        (0.25, 0.3, 0.35, 0.45),
    ),
}


def main(_: Sequence[str]) -> None:
    videos = dict(labelled_videos(Path(VIDEOS.value), Path(LABELS.value)))
    clips: dict[str, list[Clip]] = {"real": [*videos.values()]} | sequences(videos)
    facts: dict[str, object] = {
        "clips": {kind: len(some) for kind, some in clips.items()},
        "frames": sum(len(frames) for some in clips.values() for frames, _ in some),
        "cuts": sum(len(cuts) for some in clips.values() for _, cuts in some),
    }
    for name, (detect, threshold, others) in DETECTORS.items():
        for value in (threshold, *(others if SWEEP.value else ())):
            key = name if value == threshold else f"{name}, {value}"
            facts[key] = {"threshold": value} | judged(clips, detect, value)
    report(facts)


def labelled_videos(folder: Path, labels: Path) -> Iterator[tuple[str, Clip]]:
    """Yields name, small frames and cuts of the labelled videos that the folder has."""
    with labels.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (folder / row["video"]).is_file()]
    if not rows:
        raise app.UsageError(f"--videos={folder}: none of the videos of {labels}")
    for row in rows:
        frames = []
        for frame in read_frames(folder / row["video"], max_frames=FRAMES.value):
            scale = HEIGHT.value / min(frame.shape[:2])
            size = round(frame.shape[1] * scale), round(frame.shape[0] * scale)
            frames.append(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
        cuts = [int(cut) for cut in row["cuts"].split() if int(cut) < len(frames)]
        yield row["video"], (frames, cuts)


def sequences(videos: dict[str, Clip]) -> dict[str, list[Clip]]:
    """Joins shots of the videos into clips with known cuts, by kind."""
    rng = np.random.default_rng(0)
    by_video = [list(_shots(*clip)) for clip in videos.values()]
    by_video = [shots for shots in by_video if shots]
    if not by_video:
        raise app.UsageError(f"--videos={VIDEOS.value}: no scene has {_SHOT} frames")
    size = HEIGHT.value * 16 // 9, HEIGHT.value
    by_video = [
        [[cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in s] for s in shots]
        for shots in by_video
    ]
    # One after the other from another video; and all of one video.
    rounds = itertools.zip_longest(*by_video)
    mixed = [shot for some in rounds for shot in some if shot is not None][: SHOTS.value]
    different = _joined(mixed)
    return {
        "different": [different],
        "same video": [_joined(shots) for shots in by_video if len(shots) > 1],
        "closer": [_joined([s[:12], [_zoomed(x) for x in s[12:]]]) for s in mixed],
        "one frame": [_joined([a, b[:1], c]) for a, b, c in _threes(mixed)],
        "dark": [([_dark(x, rng) for x in different[0]], different[1])],
        "grain": [([_noisy(x, 18, rng) for x in different[0]], different[1])],
        "pillarbox": [([_pillarboxed(x) for x in different[0]], different[1])],
        "repeated": [_joined([[x for x in s for _ in range(2)] for s in mixed])],
        "cut in pan": [_joined([_pan(a[0]), _pan(b[0])]) for a, b in itertools.pairwise(mixed)],
        "flash": [(_flashed(s, length), []) for s in mixed for length in (1, 2)],
        "pan": [(_pan(s[0]), []) for s in mixed],
        "fade": [(_faded(a, b), []) for a, b in itertools.pairwise(mixed)],
        "dissolve": [
            (_dissolved(a, b, n), []) for a, b in itertools.pairwise(mixed) for n in (8, 16)
        ],
    }


def _shots(frames: Frames, cuts: Sequence[int]) -> Iterator[Frames]:
    """Yields a few frames of each scene, from its middle, and of long ones from two places.

    Joined, these are a jump within a scene.
    """
    for start, end in itertools.pairwise([0, *cuts, len(frames)]):
        parts = 2 if end - start > 8 * _SHOT else 1
        for part in range(parts):
            first = start + (2 * part + 1) * (end - start) // (2 * parts) - _SHOT // 2
            if first >= start and first + _SHOT <= end:
                yield frames[first : first + _SHOT]


def _threes(shots: Sequence[Frames]) -> Iterator[tuple[Frames, Frames, Frames]]:
    return zip(shots[:-2], shots[1:-1], shots[2:], strict=True)


def _joined(shots: Sequence[Frames]) -> Clip:
    lengths = [len(shot) for shot in shots]
    return [frame for shot in shots for frame in shot], [*itertools.accumulate(lengths)][:-1]


def _bytes(frame: np.ndarray) -> np.ndarray:
    return np.rint(frame).clip(0, 255).astype(np.uint8)


def _noisy(frame: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    return _bytes(frame + rng.normal(0, level, frame.shape))


def _dark(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _noisy(frame * 0.12, 1.5, rng)


def _zoomed(frame: np.ndarray) -> np.ndarray:
    """Enlarges the upper left half of a frame, as a cut to a closer shot."""
    height, width = frame.shape[:2]
    return cv2.resize(frame[: height // 2, : width // 2], (width, height))


def _pillarboxed(frame: np.ndarray) -> np.ndarray:
    wide = np.zeros_like(frame)
    width = frame.shape[1] // 3
    wide[:, width : 2 * width] = cv2.resize(frame, (width, len(frame)))
    return wide


def _pan(frame: np.ndarray) -> Frames:
    """Moves over a picture in half a second, faster in the middle, with motion blur."""
    height, width = frame.shape[:2]
    wide = cv2.resize(np.concatenate([frame, frame[:, ::-1], frame], 1), None, fx=1.3, fy=1.3)
    places = (1 - np.cos(np.linspace(0, np.pi, 2 * _SHOT + 1))) / 2 * (wide.shape[1] - width - 1)

    def at(place: float) -> np.ndarray:
        return wide[:height, int(place) : int(place) + width].astype(np.float32)

    return [
        _bytes(np.mean([at(x) for x in np.linspace(a, (a + b) / 2, 6)], axis=0))
        for a, b in zip(places[:-1:2], places[2::2], strict=True)
    ]


def _flashed(shot: Frames, length: int) -> Frames:
    middle = len(shot) // 2
    flash = [_bytes(x * 1.5 + 140) for x in shot[middle : middle + length]]
    return [*shot[:middle], *flash, *shot[middle + length :]]


def _faded(first: Frames, second: Frames) -> Frames:
    shares = np.linspace(1, 0, 12)
    out = [_bytes(x * s) for x, s in zip(first[-12:], shares, strict=True)]
    into = [_bytes(x * s) for x, s in zip(second[:12], shares[::-1], strict=True)]
    return [*first[:-12], *out, *into, *second[12:]]


def _dissolved(first: Frames, second: Frames, length: int) -> Frames:
    shares = np.linspace(0, 1, length + 2)[1:-1]
    between = [
        _bytes(a * (1 - s) + b * s)
        for a, b, s in zip(first[-length:], second[:length], shares, strict=True)
    ]
    return [*first[:-length], *between, *second[length:]]


def judged(
    clips: dict[str, list[Clip]], detect: Callable[[Frames, float], list[int]], threshold: float
) -> dict[str, object]:
    """Runs a detector over all clips; returns its scores, its mistakes by kind, and its time."""
    total, kinds = np.zeros(3, int), {}
    start, frames = time.process_time(), 0
    for kind, some in clips.items():
        counts = np.zeros(3, int)  # right, wrong, missed
        for pictures, cuts in some:
            found, frames = set(detect(pictures, threshold)) - {0}, frames + len(pictures)
            right = len(found & {*cuts})
            counts += right, len(found) - right, len(cuts) - right
        total += counts
        kinds[kind] = dict(zip(("right", "wrong", "missed"), counts.tolist(), strict=True))
    right, wrong, missed = total.tolist()
    return {
        "precision": round(right / max(1, right + wrong), 4),
        "recall": round(right / max(1, right + missed), 4),
        "f1": round(2 * right / max(1, 2 * right + wrong + missed), 4),
        "milliseconds_per_frame": round((time.process_time() - start) / frames * 1e3, 2),
        "kinds": kinds,
    }


if __name__ == "__main__":
    app.run(main)
