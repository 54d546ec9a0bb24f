"""Scene cuts, and the clips between them."""

import numpy as np
import pytest

from venhancer_jax.data.scenes import find_cuts, split
from venhancer_jax.errors import InputError


def test_cut_between_scenes(scene):
    assert find_cuts([*scene(5, 60), *scene(7, 180, 1), *scene(4, 110, 2)]) == ([5, 12], 16)


def test_motion_and_fade_are_no_cuts(scene):
    pan = scene(40, 120)[::8]
    fade = [np.full((48, 64, 3), 8 * i, np.uint8) for i in range(30)]
    assert find_cuts(fade) == ([], 30)
    assert find_cuts(pan) == ([], 5)
    # A fade to white within six frames.
    assert find_cuts([np.full((48, 64, 3), min(255, 50 * i), np.uint8) for i in range(8)])[0] == []
    # A storm of other pictures, but for its ends.
    storm = np.random.default_rng(0).integers(0, 256, (20, 1, 1, 3), np.uint8)
    assert not set(find_cuts(np.broadcast_to(storm, (20, 48, 64, 3)))[0]) & set(range(2, 18))


def test_cut_at_either_end(scene):
    assert find_cuts([*scene(1, 60), *scene(9, 180, 1)]) == ([1], 10)
    assert find_cuts([*scene(9, 60), *scene(1, 180, 1)]) == ([9], 10)
    assert find_cuts(scene(1, 60)) == ([], 1)
    assert find_cuts([]) == ([], 0)


def test_split():
    assert split([10, 13], 40, least=4, most=100) == [(0, 10), (13, 40)]
    # 27 frames in equal parts of at most 10.
    assert split([10, 13], 40, least=4, most=10) == [(0, 10), (13, 22), (22, 31), (31, 40)]
    with pytest.raises(InputError, match="max_frames=3 is less"):
        split([], 5, least=4, most=3)
