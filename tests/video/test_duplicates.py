"""Frames that repeat the one before: recognised in compressed clips, and dropped."""

import io
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from venhancer_jax.video.scenes.duplicates import (
    FRAMES_AFTER,
    FRAMES_BEFORE,
    KeptFrame,
    drop_duplicates,
    mark_duplicates,
)


def moving(count: int, speed: float, *, seed: int = 0, contrast: int = 25) -> list[np.ndarray]:
    """Frames `[144, 256, 3]` of a soft random texture that moves sideways."""
    noise = np.random.default_rng(seed).standard_normal((144, 400, 3)).astype(np.float32)
    texture = cv2.GaussianBlur(noise, (0, 0), 3)
    texture = (120 + contrast * texture / texture.std()).clip(0, 255)
    frames = []
    for i in range(count):
        shift = np.array([[1, 0, -i * speed], [0, 1, 0]], np.float32)
        frames.append(np.rint(cv2.warpAffine(texture, shift, (256, 144))).astype(np.uint8))
    return frames


def compressed(frames: list[np.ndarray], crf: int) -> list[np.ndarray]:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        options = {"crf": str(crf), "preset": "faster", "threads": "1"}
        stream = container.add_stream("libx264", rate=Fraction(30), options=options)
        stream.height, stream.width = frames[0].shape[:2]
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def repeats(frames) -> list[int]:
    return [i for i, (_, repeat) in enumerate(mark_duplicates(frames)) if repeat]


def telecined(frames: list[np.ndarray], times: list[int]) -> tuple[list[np.ndarray], list[int]]:
    """Repeats frames in a cadence; returns them with the indices of the repeats."""
    source = [i for i in range(len(frames)) for _ in range(times[i % len(times)])]
    return [frames[i] for i in source], [
        i for i in range(1, len(source)) if source[i] == source[i - 1]
    ]


@pytest.mark.parametrize(
    ("cadence", "crf"), [([1, 1, 1, 2], 18), ([1, 1, 1, 2], 28), ([2, 3], 18), ([2], 23), ([4], 23)]
)
def test_repeats_in_compressed_clips(cadence, crf):
    frames, expected = telecined(moving(16, 1.5), cadence)
    found = repeats(compressed(frames, crf))
    # At the ends of a clip few frames around tell what motion there is.
    inner = range(6, len(frames) - 6)
    assert set(found) <= set(expected) and set(found) & {*inner} == set(expected) & {*inner}


@pytest.mark.parametrize(("speed", "crf"), [(0.1, 18), (0.25, 18), (0.25, 30), (1.0, 30)])
def test_slow_motion_is_no_repeat(speed, crf):
    assert repeats(compressed(moving(30, speed), crf)) == []


def test_small_motion_after_large_is_no_repeat():
    frames = [*moving(10, 3.0), *moving(8, 0.5)]
    assert repeats(frames) == []


def test_a_small_thing_that_moves_is_no_repeat():
    """Whole frames alternate with frames in which a few blocks change."""
    frames, _ = telecined(moving(16, 1.5), [2])
    for i, frame in enumerate(frames):
        frame = frames[i] = frame.copy()
        frame[20:30, 3 * i : 3 * i + 10] = 255
    assert repeats(frames) == []


def test_stills_stay():
    frames = [*moving(8, 1.5), *[moving(8, 1.5)[-1]] * 5, *moving(8, 1.5, seed=1)]
    assert repeats(frames) == []
    del frames[8]
    assert repeats(frames) == [8, 9, 10, 11]
    assert repeats([frames[0]] * 30) == []


def test_repeats_around_a_cut():
    first, expected = telecined(moving(12, 1.5), [2])
    second, later = telecined(moving(12, 0.5, seed=1), [2])
    cut = len(first)
    assert repeats([*first, *second]) == [*expected, *(cut + i for i in later)]
    # The cut is no measure of the slow motion around.
    assert repeats([*moving(4, 0.1), *moving(10, 0.1, seed=1)]) == []


def test_sixteen_bits():
    frames, expected = telecined(moving(16, 1.5), [1, 2])
    frames = compressed(frames, 23)
    found = repeats(frames)
    assert repeats([x.astype(np.uint16) * 257 for x in frames]) == found and len(found) > 4
    assert set(found) <= set(expected)


def test_marks_are_equal_wherever_marking_starts():
    frames, _ = telecined(moving(12, 1.5), [1, 4, 2, 7, 1, 1, 5])
    marks = [repeat for _, repeat in mark_duplicates(frames)]
    assert sum(marks) > 8
    for start in range(1, len(frames)):
        before = frames[max(0, start - FRAMES_BEFORE) : start]
        found = [repeat for _, repeat in mark_duplicates(frames[start:], before=before)]
        assert found == marks[start:]


def test_look_ahead_is_bounded():
    taken = []
    stream = mark_duplicates(taken.append(i) or x for i, x in enumerate(moving(20, 1.0)))
    for i, _ in enumerate(stream):
        assert len(taken) == min(20, i + FRAMES_AFTER)


def test_dropped_frames_leave_gaps():
    frames, _ = telecined(moving(12, 1.5), [1, 1, 1, 2])
    kept = list(drop_duplicates((frame, False) for frame in frames))
    assert [(x.index, x.stop) for x in kept[2:7]] == [(2, 3), (3, 5), (5, 6), (6, 7), (7, 8)]
    assert kept[-1].stop == len(frames) and all(x.pixels is frames[x.index] for x in kept)
    # A listed cut may be at a repeat; the first frame is kept wherever it is.
    marked = [(frame, i == 9) for i, frame in enumerate(frames)]
    cut = list(drop_duplicates(marked))
    assert [x.index for x in cut if x.starts_scene] == [9]
    assert len(cut) == len(kept) + 1
    tail = list(drop_duplicates(marked[4:], first=4, before=frames[:4]))
    assert [x.index for x in tail] == [4] + [x.index for x in cut if x.index > 4]
    assert isinstance(tail[0], KeptFrame) and list(drop_duplicates([])) == []
