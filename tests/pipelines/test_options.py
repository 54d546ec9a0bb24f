"""What a user may ask: wrong values are named, with what was expected."""

import re
from fractions import Fraction
from typing import Any

import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.options import parse_fps
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("solver", "euler", "dpmpp_2m_sde, heun, ddim"),
        ("solver_mode", "slow", "fast, normal"),
        ("compat", "third", "default, official"),
        ("up_scale", 0, "0.0625 to 8"),
        ("up_scale", 8.1, "0.0625 to 8"),
        ("up_scale", float("nan"), "0.0625 to 8"),
        ("noise_aug", -1, "0 to 300"),
        ("noise_aug", 301, "0 to 300"),
        ("steps", 0, "1 to 1000"),
        ("steps", 1001, "1 to 1000"),
        ("guidance_scale", -0.5, "0 to 100"),
        ("guidance_scale", 101, "0 to 100"),
        ("guidance_rescale", -0.1, "0 to 1"),
        ("guidance_rescale", 1.1, "0 to 1"),
        ("window", 1, "2 to 1000"),
        ("window", 1001, "2 to 1000"),
        ("seed", -1, "0 to 4.29497e+09"),
        ("seed", 2**32, "0 to 4.29497e+09"),
        ("noise_levels", 1, "2 to 1000"),
        ("noise_levels", 1001, "2 to 1000"),
        ("noise_levels", 506, "at least 507"),
        ("target_fps", Fraction(0), "above 0 and at most 1000"),
        ("target_fps", Fraction(-24), "above 0 and at most 1000"),
        ("target_fps", Fraction(1001), "above 0 and at most 1000"),
        ("target_size", (720,), "(height, width)"),
        ("target_size", (720, 1280, 3), "(height, width)"),
    ],
)
def test_out_of_range(name: str, value: Any, expected: str):
    with pytest.raises(InputError) as error:
        VEnhancerOptions(**{name: value})
    assert re.match(rf"{name} '?{re.escape(str(value))}'?: expected ", str(error.value))
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((15, 720), "target_size height 15: expected a number from 16 to 16384"),
        ((720, 16385), "target_size width 16385: expected a number from 16 to 16384"),
    ],
)
def test_sides_out_of_range(size: tuple[int, int], message: str):
    with pytest.raises(InputError, match=message):
        VEnhancerOptions(target_size=size)


def test_normal_mode_needs_more_levels_than_steps():
    VEnhancerOptions(solver_mode="normal", steps=99, noise_levels=100)
    VEnhancerOptions(solver_mode="fast", steps=950)  # has steps of its own
    with pytest.raises(InputError, match="steps 100: expected fewer than noise_levels, 100"):
        VEnhancerOptions(solver_mode="normal", steps=100, noise_levels=100)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("up_scale", [1 / 16, 1, 8]),
        ("noise_aug", [0, 300]),
        ("guidance_scale", [0, 1, 100]),
        ("guidance_rescale", [0, 1]),
        ("window", [2, 1000]),
        ("seed", [0, 2**32 - 1]),
        ("noise_levels", [507, 1000]),
        ("target_fps", [Fraction(1, 7), Fraction(1000)]),
        ("target_size", [(16, 16384)]),
    ],
)
def test_limits_are_allowed(name: str, values: list):
    for value in values:
        assert getattr(VEnhancerOptions(**{name: value}), name) == value


def test_official():
    assert VEnhancerOptions(compat="official").official
    assert not VEnhancerOptions().official


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        (24, Fraction(24)),
        ("12", Fraction(12)),
        (12.5, Fraction(25, 2)),
        (24.0, Fraction(24)),
        ("15.5", Fraction(31, 2)),
        (0.004, Fraction(1, 250)),
        (23.976, Fraction(24000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        ("24000/1001", Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (47.952, Fraction(48000, 1001)),
        (59.94, Fraction(60000, 1001)),
        ("119.88", Fraction(120000, 1001)),
        (Fraction(30000, 1001), Fraction(30000, 1001)),
        ("1000", Fraction(1000)),
    ],
)
def test_parse_fps(value: str | float | Fraction, rate: Fraction):
    assert parse_fps(value) == rate


@pytest.mark.parametrize(
    "value",
    ["", "fast", "24 fps", "1/0", "-24", 0, "0/5", float("nan"), float("inf"), 1000.5, "1e9"],
)
def test_nonsense_rates(value: str | float):
    with pytest.raises(InputError) as error:
        parse_fps(value)
    assert str(error.value).startswith(f"target_fps {value!r}: expected a number such as 24")
