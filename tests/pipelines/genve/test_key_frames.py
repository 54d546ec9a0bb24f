"""Which frame is a key frame, and which frames take its texture."""

from fractions import Fraction

import pytest
from pipelines.genve.tiny_genve import options

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.genve.key_frames import choose_key_frames


@pytest.mark.parametrize(
    ("frames", "start", "changes", "positions", "nearest"),
    [
        (5, 0, {}, (2,), [0] * 5),
        (1, 7, {}, (0,), [0]),
        (4, 10, {"key_frame": 11}, (1,), [0] * 4),
        (4, 10, {"key_frame": 3}, (2,), [0] * 4),  # of another segment
        (8, 0, {"key_every": 4}, (2, 6), [0] * 5 + [1] * 3),
        (6, 5, {"key_every": 4}, (1, 5), [0] * 4 + [1] * 2),
        (2, 0, {"key_every": 16}, (1,), [0, 0]),  # a group without its middle
    ],
)
def test_key_frames(frames: int, start: int, changes: dict, positions, nearest: list[int]):
    found = choose_key_frames(frames, start, options(**changes))
    assert found.positions == positions
    assert found.nearest.tolist() == nearest


def test_parts_of_a_clip_count_from_their_first_frame():
    assert options(key_frame=7).part(5).key_frame == 2
    assert options(key_frame=4).part(5).key_frame == -1
    assert options().part(5) == options()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key_frame": 3, "key_every": 4}, "key_frame 3: expected -1 with key_every, 4"),
        ({"key_every": 4, "reference": "a.png"}, "key_every 4: expected 0 with the picture a.png"),
        ({"image_steps": 20, "image_start": 10}, "image_steps 20: expected at most image_start"),
        ({"noise_aug": 501}, "noise_aug 501: expected a whole number from 0 to 500"),
        ({"reference": ""}, "reference '': expected prior, sd21, none"),
    ],
)
def test_contradictions(changes: dict, message: str):
    with pytest.raises(InputError, match=message):
        options(**changes)


def test_no_frames_are_added():
    rate = Fraction(24)
    assert options(fps_scale=0.5).output_rate(rate) == 12
    assert options(target_fps=24).output_rate(rate) == 24
    with pytest.raises(InputError, match="target_fps 25: 25 frames per second from 24"):
        options(target_fps=25).output_rate(rate)
    with pytest.raises(InputError, match=r"fps_scale 2.0: .* adds no frames"):
        options(fps_scale=2).output_rate(rate)
