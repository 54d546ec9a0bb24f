"""Clips between scene cuts."""

import pytest

from venhancer_jax.data.scenes import split
from venhancer_jax.errors import InputError


def test_split():
    assert split([10, 13], 40, least=4, most=100) == [(0, 10), (13, 40)]
    # 27 frames in equal parts of at most 10.
    assert split([10, 13], 40, least=4, most=10) == [(0, 10), (13, 22), (22, 31), (31, 40)]
    with pytest.raises(InputError, match="max_frames=3 is less"):
        split([], 5, least=4, most=3)
