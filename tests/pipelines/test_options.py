"""What a user may ask: wrong values are refused at the door, with what was expected."""

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.enhance import enhance
from venhancer_jax.pipelines.options import DeviceOptions, FileOptions, ProcessOptions, parse_fps
from venhancer_jax.pipelines.segments import SegmentSizes
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions, VEnhancerWeights


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("solver", "euler", "one of dpmpp_2m_sde, heun, ddim"),
        ("solver_mode", "slow", "one of fast, normal"),
        ("compat", "third", "one of default, official"),
        ("interpolation", "linear", "one of previous, flow"),
        ("up_scale", 0, "a number from 0.0625 to 8"),
        ("up_scale", 8.1, "a number from 0.0625 to 8"),
        ("up_scale", float("nan"), "a number from 0.0625 to 8"),
        ("up_scale", "4", "a number from 0.0625 to 8"),
        ("up_scale", True, "a number from 0.0625 to 8"),
        ("fps_scale", 17, "a number from 0.0625 to 16"),
        ("noise_aug", -1, "a whole number from 0 to 300"),
        ("noise_aug", 301, "a whole number from 0 to 300"),
        ("noise_aug", 50.5, "a whole number from 0 to 300"),
        ("steps", 0, "a whole number from 1 to 1000"),
        ("steps", 1001, "a whole number from 1 to 1000"),
        ("steps", 7.5, "a whole number from 1 to 1000"),
        ("guidance_scale", -0.5, "a number from 0 to 100"),
        ("guidance_rescale", 1.1, "a number from 0 to 1"),
        ("window", 1, "a whole number from 2 to 1000"),
        ("window", 20.5, "a whole number from 2 to 1000"),
        ("window", False, "a whole number from 2 to 1000"),
        ("seed", -1, "a whole number from 0 to 4294967295"),
        ("seed", 2**32, "a whole number from 0 to 4294967295"),
        ("seed", 1.7, "a whole number from 0 to 4294967295"),
        ("seed", None, "a whole number from 0 to 4294967295"),
        ("noise_levels", 1, "a whole number from 2 to 1000"),
        ("noise_levels", 506, "at least 507"),
        ("target_fps", 0, "a number such as 24"),
        ("target_fps", Fraction(-24), "a number such as 24"),
        ("target_fps", 1001, "a number such as 24, 59.94 or 30000/1001, at most 1000"),
        ("target_size", (720,), "two whole numbers from 16 to 16384, height and width"),
        ("target_size", (720, 1280, 3), "two whole numbers from 16 to 16384, height and width"),
        ("target_size", (15, 720), "two whole numbers from 16 to 16384, height and width"),
        ("target_size", (720, 16385), "two whole numbers from 16 to 16384, height and width"),
        ("target_size", (720.5, 1280), "two whole numbers from 16 to 16384, height and width"),
        ("target_size", "720x1280", "two whole numbers from 16 to 16384, height and width"),
        ("guidance_interval", (0, 1000), "two whole numbers from 0 to 999, first and last"),
        ("guidance_interval", (5, 4), "the lower time step first"),
        ("shape_buckets", 1, "True or False"),
        ("prompt", 3, "a text"),
        ("prompt", None, "a text"),
        *(
            (f"{name}_reuse", value, "a whole number from 1 to 1000")
            for name in ("guidance", "controlnet", "deep")
            for value in (0, -1, 1001, 1.5)
        ),
    ],
)
def test_wrong_values(name: str, value: Any, expected: str):
    with pytest.raises(InputError) as error:
        VEnhancerOptions(**{name: value})
    message = str(error.value)
    assert message.startswith((f"{name} {value!r}: ", f"{name} {value}: "))
    assert f"expected {expected}" in message


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("noise_aug", 50.0, 50),
        ("window", np.int64(20), 20),
        ("seed", np.float32(7), 7),
        ("up_scale", 2, 2.0),
        ("up_scale", np.float64(2.5), 2.5),
        ("target_fps", 29.97, Fraction(30000, 1001)),
        ("target_fps", np.float32(29.97), Fraction(30000, 1001)),
        ("target_fps", "12.5", Fraction(25, 2)),
        ("target_fps", "", None),
        ("target_size", [720, 1280.0], (720, 1280)),
        ("target_size", np.array([720, 1280]), (720, 1280)),
        ("negative_prompt", None, None),
    ],
)
def test_what_is_meant_is_accepted(name: str, value: Any, stored: Any):
    found = getattr(VEnhancerOptions(**{name: value}), name)
    assert found == stored
    assert type(found) is type(stored)


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
        ("guidance_interval", [(0, 999), (5, 5)]),
    ],
)
def test_limits_are_allowed(name: str, values: list):
    for value in values:
        assert getattr(VEnhancerOptions(**{name: value}), name) == value


def test_normal_mode_needs_more_levels_than_steps():
    VEnhancerOptions(solver_mode="normal", steps=99, noise_levels=100)
    VEnhancerOptions(solver_mode="fast", steps=950)  # has steps of its own
    with pytest.raises(InputError, match="steps 100: expected fewer than noise_levels, 100"):
        VEnhancerOptions(solver_mode="normal", steps=100, noise_levels=100)


def test_heun_reuses_nothing():
    with pytest.raises(InputError, match="deep_reuse 2: expected 1 with solver 'heun'"):
        VEnhancerOptions(solver="heun", deep_reuse=2)
    assert VEnhancerOptions(solver="heun", guidance_interval=(0, 500)).reuses


def test_options_that_reuse():
    assert not VEnhancerOptions().reuses
    for name in ("guidance_reuse", "controlnet_reuse", "deep_reuse"):
        assert VEnhancerOptions(**{name: 2}).reuses


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape_buckets": True}, "shape_buckets: compat 'official'"),
        ({"interpolation": "flow"}, "interpolation 'flow': compat 'official'"),
    ],
)
def test_official_has_shapes_of_its_own(changes: dict, message: str):
    with pytest.raises(InputError, match=message):
        VEnhancerOptions(compat="official", **changes)


@pytest.mark.parametrize(
    ("settings", "name", "value", "expected"),
    [
        (FileOptions, "quality", 1.1, "a number from 0 to 1"),
        (FileOptions, "codec", "vp9", "one of h264, h265, av1, prores, ffv1, png, exr"),
        (FileOptions, "max_frames", 0, "a whole number from 1"),
        (FileOptions, "start_time", -1.0, "a number from 0"),
        (FileOptions, "allow_damaged", "yes", "True or False"),
        (VEnhancerWeights, "version", "v3", "one of v1, v2"),
        (VEnhancerWeights, "preset", "huge", "one of demo, venhancer, tiny, debug"),
        (VEnhancerWeights, "weights", "int4", "one of full, int8"),
        (VEnhancerWeights, "dtype", "float8", "one of auto, float32, bfloat16, float16"),
        (DeviceOptions, "mesh", {"data": 1.5}, "a whole"),
        (DeviceOptions, "mesh", {"model": 2}, "entries data, fsdp, rows; unknown 'model'"),
        (ProcessOptions, "compile_effort", 2, "a number from -1 to 1"),
    ],
)
def test_other_settings(settings: type, name: str, value: Any, expected: str):
    with pytest.raises(InputError) as error:
        settings(**{name: value})
    assert str(error.value).startswith(f"{name} {value!r}: ")
    assert f"expected {expected}" in str(error.value)


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
    ["", "fast", "24 fps", "1/0", "-24", 0, "0/5", float("nan"), float("inf"), 1000.5, "1e9", True],
)
def test_nonsense_rates(value: str | float):
    with pytest.raises(InputError) as error:
        parse_fps(value)
    assert str(error.value).startswith(f"target_fps {value!r}: expected a number such as 24")


class Recorder:
    """A system that keeps what it is called with."""

    options_class = VEnhancerOptions
    mesh = None

    def output_clock(self, rate, time_base, options):
        self.rate, self.options = rate, options

    def segment_sizes(self, rate, options):
        return SegmentSizes(window=4, overlap=1, windows=1)


def test_python_api_checks_before_any_frame():
    system: Any = Recorder()
    for wrong, message in [
        ({"noise_aug": 50.5}, "noise_aug 50.5: expected a whole number from 0 to 300"),
        ({"sharpness": 3}, "unknown option: .*sharpness"),
    ]:
        with pytest.raises(InputError, match=message):
            enhance([], fps=24, system=system, **wrong)
    with pytest.raises(InputError, match=re.escape("fps 0: expected a number such as 24")):
        enhance([], fps=0, system=system)


def test_python_api_answers_to_old_names():
    system: Any = Recorder()
    with pytest.raises(InputError, match="no frames"):
        list(enhance([], fps="23.976", system=system, between="flow", target_fps=29.97))
    assert system.rate == Fraction(24000, 1001)
    assert system.options.interpolation == "flow"
    assert system.options.target_fps == Fraction(30000, 1001)
