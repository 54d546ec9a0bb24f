"""Jumps at borders are compared with those at like distances of them."""

import numpy as np
import pytest

from venhancer_jax.report.changes import Profile


@pytest.mark.parametrize("first", [1, 2, 4])
def test_only_jumps_of_the_phase_of_a_border_are_compared(first: int):
    positions = np.arange(1, 13)
    jumps = np.full(12, 5.0)
    jumps[(positions - first) % 4 == 0] = 2
    border = first + 4
    jumps[positions == border] = 6
    profile = Profile(positions=positions, jumps=jumps, borders={"tiles": (border,)}, period=4)
    assert profile.index("tiles") == pytest.approx(3)
