"""Times at which the frames of an output are shown."""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import pytest

from venhancer_jax.pipelines.frame_times import OutputClock


def nearest(frames: int, ratio: Fraction, stride: int) -> tuple[int, ...]:
    """Returns the frame of the grid that is nearest to each output time, by a formula."""
    count = max(1, math.floor(frames * ratio + Fraction(1, 2)))
    indices = (math.floor(j * stride / ratio + Fraction(1, 2)) for j in range(count))
    return tuple(min(i, (frames - 1) * stride) for i in indices)


def shown(
    clock: OutputClock, ticks: Sequence[int], scenes: Sequence[Sequence[int]]
) -> list[tuple[int, int]]:
    """Index on the grid of the clip and tick of all output frames, from segments of scenes.

    Args:
      clock: the clock.
      ticks: ticks of all frames, and of the end.
      scenes: number of frames of each segment of each scene.
    """
    times, first, found = [*itertools.pairwise(ticks)], 0, []
    for s, scene in enumerate(scenes, 1):
        for k, length in enumerate(scene, 1):
            outputs = clock.outputs(
                times[first : first + length],
                ends_scene=k == len(scene),
                ends_clip=k == len(scene) and s == len(scenes),
            )
            found += [(first * clock.stride + index, tick) for index, tick in outputs]
            first += length
    assert first == len(times)
    return found


@pytest.mark.parametrize("source", [Fraction(10), Fraction(30000, 1001)])
@pytest.mark.parametrize("target", [Fraction(5), Fraction(10), Fraction(24), Fraction(60)])
@pytest.mark.parametrize("stride", [1, 3])
def test_constant_rates(source: Fraction, target: Fraction, stride: int):
    """Segments change nothing: each output time has the nearest frame of the grid."""
    clock = OutputClock(time_base=1 / source, stride=stride, rate=target)
    assert clock.output_base == 1 / target
    for lengths in ([1], [11], [6, 5], [4, 4, 3], [2, 9, 1]):
        frames = sum(lengths)
        expected = nearest(frames, target / source, stride)
        found = shown(clock, range(frames + 1), [lengths])
        assert found == [*zip(expected, range(len(expected)), strict=True)]


def test_variable_rates_keep_their_stamps():
    clock = OutputClock(time_base=Fraction(1, 1000), stride=3, rate=None)
    assert clock.output_base == Fraction(1, 3000)
    ticks = [0, 20, 400, 433, 500]
    for lengths in ([4], [1, 3], [2, 1, 1]):
        found = shown(clock, ticks, [lengths])
        assert [tick for _, tick in found] == [
            0, 20, 40, 60, 440, 820, 1200, 1233, 1266, 1299, 1366, 1433,
        ]  # fmt: skip
        # The last frame has no successor: it is held.
        assert [index for index, _ in found] == [*range(10), 9, 9]


def test_a_variable_rate_becomes_constant():
    clock = OutputClock(time_base=Fraction(1, 1000), stride=1, rate=Fraction(10))
    assert shown(clock, [0, 20, 400, 433, 500], [[4]]) == [(0, 0), (1, 1), (1, 2), (2, 3), (2, 4)]


@pytest.mark.parametrize("rate", [None, Fraction(20)])
def test_nothing_between_two_scenes(rate: Fraction | None):
    clock = OutputClock(time_base=Fraction(1, 10), stride=2, rate=rate)
    found = shown(clock, range(5), [[2], [1, 1]])
    assert [tick for _, tick in found] == [*range(8)]
    # Frames 2 and 4 of the grid begin with a frame of the input; 3 would be between two scenes.
    assert [index for index, _ in found] == [0, 1, 2, 2, 4, 5, 6, 6]


def test_the_official_output_ends_with_the_last_frame():
    clock = OutputClock(time_base=Fraction(1, 10), stride=4, rate=Fraction(40), holds_last=False)
    assert [index for index, _ in shown(clock, range(4), [[3]])] == [*range(9)]
    held = OutputClock(time_base=Fraction(1, 10), stride=4, rate=Fraction(40))
    assert [index for index, _ in shown(held, range(4), [[3]])] == [*range(9), 8, 8, 8]


def test_ticks_rise_and_frames_follow_each_other_across_many_scenes():
    for rate in (None, Fraction(7), Fraction(25), Fraction(24000, 1001)):
        clock = OutputClock(time_base=Fraction(1, 24), stride=2, rate=rate)
        for scenes in ([[1], [1], [1]], [[3, 2], [1], [7, 7, 1]], [[1, 1], [5]]):
            count = sum(map(sum, scenes))
            found = shown(clock, range(count + 1), scenes)
            ticks = [tick for _, tick in found]
            assert ticks == [*range(ticks[0], ticks[0] + len(ticks))] and ticks[0] == 0
            indices = [index for index, _ in found]
            assert indices == sorted(indices)
            if rate is not None:
                # As long as the input, within half a frame of the output or the last scene.
                assert abs(len(found) - count * rate / 24) <= 1
