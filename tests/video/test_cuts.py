"""Scene cuts of synthetic clips, found while frames stream by."""

import itertools

import cv2
import numpy as np
import pytest

from venhancer_jax.video.scenes.cuts import FRAMES_AFTER, FRAMES_BEFORE, find_cuts, mark_cuts


def shot(count: int, seed: int, *, level: int = 120, contrast: int = 40, speed: int = 1):
    """Frames `[64, 96, 3]` of a soft random texture that moves sideways."""
    noise = np.random.default_rng(seed).standard_normal((64, 96 + count * speed, 3))
    texture = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 4)
    texture = (level + contrast * texture / texture.std()).clip(0, 255).astype(np.uint8)
    return [texture[:, i * speed : i * speed + 96] for i in range(count)]


def cuts(*shots) -> list[int]:
    return find_cuts(itertools.chain(*shots))[0]


def test_cut_between_scenes():
    assert find_cuts([*shot(7, 0), *shot(9, 1), *shot(4, 2)]) == ([7, 16], 20)
    assert find_cuts([]) == ([], 0)
    assert find_cuts(shot(1, 0)) == ([], 1)


def test_cut_at_either_end():
    assert cuts(shot(1, 0), shot(9, 1)) == [1]
    assert cuts(shot(9, 0), shot(1, 1)) == [9]


def test_shot_of_one_frame():
    assert cuts(shot(6, 0), shot(1, 1), shot(6, 2)) == [6, 7]


def test_cut_between_dark_scenes():
    assert cuts(*[shot(6, i, level=18, contrast=10) for i in range(2)]) == [6]


def test_cut_within_black_bars():
    def boxed(frames):
        return [cv2.copyMakeBorder(x, 0, 0, 128, 128, cv2.BORDER_CONSTANT) for x in frames]

    assert cuts(boxed(shot(6, 0)), boxed(shot(6, 1))) == [6]


def test_a_title_is_no_cut():
    frames = [x.copy() for x in shot(12, 0, level=20, contrast=1)]
    for frame in frames[6:]:
        cv2.putText(frame, "Title", (30, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255,) * 3)
    assert cuts(frames) == []


def test_cut_between_plain_colours():
    assert cuts([np.full((64, 96, 3), level, np.uint8) for level in [20] * 5 + [120] * 5]) == [5]


def test_cut_between_fast_motion_and_rest():
    assert cuts(shot(8, 0, speed=9), shot(8, 1, speed=0)) == [8]


def test_fast_motion_is_no_cut():
    assert cuts(shot(20, 0, speed=7)) == []


def test_a_jerk_of_the_camera_is_no_cut():
    texture = shot(30, 0, contrast=60)
    assert cuts([texture[0]] * 6, [texture[7]] * 6) == []


def test_a_thing_that_appears_is_no_cut():
    frames = [x.copy() for x in shot(12, 0)]
    for frame, other in zip(frames[6:], shot(12, 1)[6:], strict=True):
        frame[:, :32] = other[:, :32]
    assert cuts(frames) == []


def test_restless_pictures_are_no_cuts():
    """Half of what every frame shows is new, as in water: no frame is like the one before."""
    still = shot(1, 0)[0]
    mixed = [cv2.addWeighted(still, 0.45, shot(1, i)[0], 0.55, 0) for i in range(1, 13)]
    assert cuts(mixed) == []


@pytest.mark.parametrize("length", [1, 2])
def test_flash_is_no_cut(length):
    frames = shot(12, 0)
    frames[5 : 5 + length] = [np.full((64, 96, 3), 250, np.uint8)] * length
    assert cuts(frames) == []


def test_fades_are_no_cuts():
    out = [(x * (1 - i / 12)).astype(np.uint8) for i, x in enumerate(shot(12, 0))]
    into = [(x * (i / 12)).astype(np.uint8) for i, x in enumerate(shot(12, 1))]
    assert cuts(out, into) == []
    dissolve = [
        (a * (1 - i / 11) + b * (i / 11)).astype(np.uint8)
        for i, (a, b) in enumerate(zip(shot(12, 0), shot(12, 1), strict=True))
    ]
    assert cuts(shot(12, 0)[:1] * 5, dissolve) == []


def test_noise_is_no_cut():
    rng = np.random.default_rng(0)
    frames = [
        (cv2.resize(x, (384, 256)) + rng.normal(0, 60, (256, 384, 3))).clip(0, 255).astype(np.uint8)
        for x in (*shot(8, 0), *shot(8, 1))
    ]
    assert cuts(frames) == [8]


def test_storm_is_no_cut():
    """In a storm of other pictures no frame has more to do with its neighbours."""
    storm = np.random.default_rng(0).integers(0, 256, (20, 1, 1, 3), np.uint8)
    assert not set(cuts(np.broadcast_to(storm, (20, 48, 64, 3)))) & set(range(4, 16))


def test_sixteen_bits_and_other_sizes():
    frames = [*shot(6, 0), *shot(6, 1)]
    low = np.random.default_rng(0).integers(0, 256, (12, 64, 96, 3), np.uint16)
    assert cuts(
        [x.astype(np.uint16) * 256 + rest for x, rest in zip(frames, low, strict=True)]
    ) == [6]
    for size in ((16, 16), (400, 20), (30, 700)):
        assert cuts([cv2.resize(x, size) for x in frames]) == [6]


def test_marks_are_equal_wherever_marking_starts():
    """Cuts that are hard to tell, close to each other: every start gives the same marks."""
    noisy = [shot(n, i, speed=i % 9) for i, n in enumerate([9, 1, 7, 2, 3, 1, 1, 6, 8])]
    frames = [*itertools.chain(*noisy)]
    frames[4] = np.full_like(frames[4], 255)
    marks = [cut for _, cut in mark_cuts(frames)]
    assert sum(marks) >= 4
    for start in range(1, len(frames)):
        before = frames[max(0, start - FRAMES_BEFORE) : start]
        assert [cut for _, cut in mark_cuts(frames[start:], before=before)] == marks[start:]
    # More frames before than count change nothing.
    assert [cut for _, cut in mark_cuts(frames[20:], before=frames[:20])] == marks[20:]


def test_look_ahead_is_bounded_and_frames_pass_unchanged():
    frames, taken = shot(12, 0), []
    stream = mark_cuts(taken.append(i) or x for i, x in enumerate(frames))
    for i, (frame, _) in enumerate(stream):
        assert frame is frames[i]
        assert len(taken) == min(len(frames), i + FRAMES_AFTER)
