"""Cutting a clip into segments."""

import random
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from venhancer_jax.pipelines.segments import (
    CLIP_START,
    Position,
    Segment,
    SegmentSizes,
    TimedFrame,
    cut_into_segments,
)

CASES = [
    (SegmentSizes(window=window, overlap=overlap, windows=windows), scenes)
    for window, overlap in [(2, 1), (4, 1), (4, 2), (5, 4), (7, 3)]
    for windows in (0, 1, 2, 3)
    for scenes in [
        *[[length] for length in (1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 25, 31)],
        [1, 1, 1],
        [3, 9, 1, 16],
        [12, 5, 5],
        random.Random(window * windows).choices(range(1, 15), k=6),
    ]
]


def timed(scenes: Sequence[int], start: int = 0) -> list[TimedFrame]:
    """Frames whose only pixel is their number; scenes are given by their lengths."""
    first = set(np.cumsum([0, *scenes]).tolist())
    count = sum(scenes)
    return [
        TimedFrame(np.array(i), 10 * i, 10 * i + 10, i in first and i > 0)
        for i in range(start, count)
    ]


def cut(
    scenes: Sequence[int], sizes: SegmentSizes, position: Position = CLIP_START
) -> Iterator[tuple[Segment, list[int]]]:
    """Cuts from a position on; yields segments and the numbers of their frames."""
    frames = timed(scenes, position.read_from(sizes))
    for segment in cut_into_segments(frames, sizes, position):
        yield segment, [int(pixels) for pixels in segment.pixels()]


def facts(segment: Segment, read: list[int]) -> tuple:
    return (
        segment.index, segment.scene, segment.start, segment.first, segment.stop, read,
        segment.times, segment.ends_scene, segment.ends_clip, segment.after,
    )  # fmt: skip


def test_every_frame_has_one_result_from_frames_of_its_scene():
    for sizes, scenes in CASES:
        bounds = np.cumsum([0, *scenes]).tolist()
        results, previous = [], None
        for segment, read in cut(scenes, sizes):
            results += range(segment.first, segment.stop)
            scene_end = next(end for end in bounds if end > segment.first)
            assert segment.scene == max(bound for bound in bounds if bound <= segment.first)
            assert read == [*range(segment.start, segment.read_stop)]
            assert segment.scene <= segment.start <= segment.first
            assert segment.ends_scene == (segment.stop == scene_end)
            assert segment.read_stop == min(scene_end, segment.stop + sizes.overlap)
            assert segment.ends_clip == (segment.stop == sum(scenes))
            assert segment.times == [
                (10 * i, 10 * i + 10) for i in range(segment.first, segment.stop)
            ]
            if previous is not None:
                assert segment.index == previous.index + 1
                if segment.first > segment.scene:
                    # What both compute is blended, so the overlap is never less than asked for.
                    assert segment.start <= previous.stop
                    assert segment.read_stop >= previous.stop + sizes.overlap
            previous = segment
        assert results == [*range(sum(scenes))], (sizes, scenes)


def test_segments_resume_after_any_of_them():
    for sizes, scenes in CASES:
        whole = [facts(*found) for found in cut(scenes, sizes)]
        for i, segment in enumerate(whole[:-1], 1):
            rest = [facts(*found) for found in cut(scenes, sizes, segment[-1])]
            assert rest == whole[i:], (sizes, scenes, i)


def test_segments_of_long_scenes_have_the_lengths_of_whole_windows():
    """Which are few: each length is compiled once."""
    for sizes, scenes in CASES:
        step = sizes.window - sizes.overlap
        whole = {sizes.window + k * step for k in range(sizes.windows)}
        for segment, read in cut(scenes, sizes):
            if segment.first > segment.scene or not segment.ends_scene:
                assert not sizes.windows or len(read) in whole


@pytest.mark.parametrize("windows", [0, 1, 2])
def test_few_frames_are_kept(windows: int):
    sizes = SegmentSizes(window=4, overlap=2, windows=windows)
    taken = 0

    def counted() -> Iterator[TimedFrame]:
        nonlocal taken
        for frame in timed([400]):
            taken += 1
            yield frame

    for segment in cut_into_segments(counted(), sizes):
        if windows:
            assert taken <= segment.start + sizes.step + sizes.window + sizes.overlap + 1
        for number, _ in enumerate(segment.pixels(), segment.start):
            if not windows:
                assert taken <= number + 2


def test_no_frames():
    assert list(cut_into_segments([], SegmentSizes(window=4, overlap=2, windows=1))) == []
