"""Estimated time: what binds, and that traffic comes on top."""

import pytest

from venhancer_jax.planning.collectives import Collective
from venhancer_jax.planning.roofline import EFFICIENCY, LATENCY, step_seconds
from venhancer_jax.sharding.chips import CHIPS

V5E = next(chip for chip in CHIPS if chip.name == "v5e")


def test_the_slower_of_work_and_memory():
    second = EFFICIENCY * 197e12
    assert step_seconds(V5E, flops=second, memory_bytes=0, collectives={}) == pytest.approx(1)
    assert step_seconds(V5E, flops=second, memory_bytes=2 * 819e9, collectives={}) == 2


def test_traffic_comes_on_top():
    traffic = {"all-to-all": Collective(10, round(V5E.link_bandwidth))}
    found = step_seconds(V5E, flops=0, memory_bytes=819e9, collectives=traffic)
    assert found == pytest.approx(1 + 1 + 10 * LATENCY)
