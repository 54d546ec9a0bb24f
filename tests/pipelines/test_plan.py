"""What will be done to a clip, checked without any network."""

import re
from fractions import Fraction

import numpy as np
import pytest

from venhancer_jax.diffusion.schedule import cosine_interpolated_schedule
from venhancer_jax.diffusion.solvers import HeunSteps, LinearSteps
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.options import parse_fps
from venhancer_jax.pipelines.venhancer import official
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import (
    MAX_STRIDE,
    SpacePlan,
    TimePlan,
    hint_noise,
    plan_space,
    plan_steps,
    plan_time,
    window_keys,
)

SCHEDULE = cosine_interpolated_schedule()
OFFICIAL = VEnhancerOptions(compat="official")
# Heights are 16 more than a multiple of 64, widths multiples of 64.
ROWS, COLUMNS = (16, 64), 64


def space(height: int, width: int, **options) -> SpacePlan:
    return plan_space(height, width, VEnhancerOptions(**options), ROWS, COLUMNS)


def time(frames: int, rate: str | float, target: str | float | None, **options) -> TimePlan:
    target_fps = None if target is None else parse_fps(target)
    return plan_time(frames, parse_fps(rate), VEnhancerOptions(target_fps=target_fps, **options))


RATES = [
    # rate, target, frames of the grid from one input frame to the next
    (24, 60, 5),
    (16, 24, 3),
    (23.976, 47.952, 2),
    (25, 60, 6),
    (24, 24, 1),
    (24, None, 1),
    (30, 24, 1),
    (29.97, 60, 2),
    (23.976, 24, 1),
    (8, 24, 3),
    (7, 61, 9),
    (10, 90, 9),
    (24, 25, 1),
]


@pytest.mark.parametrize(("rate", "target", "stride"), RATES)
@pytest.mark.parametrize("frames", [1, 2, 7, 24, 101])
def test_output_times(rate: float, target: float | None, stride: int, frames: int):
    plan = time(frames, rate, target)
    rate = parse_fps(rate)
    assert plan.stride == stride
    assert plan.rate == (rate if target is None else parse_fps(target))
    # The output lasts as long as the input, to half a frame.
    assert abs(len(plan.take) / plan.rate - frames / rate) <= 1 / (2 * plan.rate)
    # Every frame is the one on the grid that is nearest to its time; the last one is held.
    for j, i in enumerate(plan.take):
        position = min(j / plan.rate * rate * stride, plan.frames - 1)
        assert abs(i - position) <= Fraction(1, 2)
    assert list(plan.take) == sorted(plan.take)


@pytest.mark.parametrize(("rate", "target", "stride"), RATES)
def test_every_input_frame_is_a_key_frame(rate: float, target: float | None, stride: int):
    plan = time(7, rate, target)
    assert plan.frames == 6 * stride + 1
    keys = {i: key for i, key in enumerate(plan.key_index) if key >= 0}
    assert keys == {i * stride: i for i in range(7)}


def test_24_to_60_takes_every_second_frame_of_120():
    plan = time(3, 24, 60)
    assert plan.take == (0, 2, 4, 6, 8, 10, 10, 10)
    assert plan.key_index == (0, -1, -1, -1, -1, 1, -1, -1, -1, -1, 2)


def test_30_to_24_leaves_frames_out():
    assert time(5, 30, 24).take == (0, 1, 3, 4)


def test_very_slow_output_has_a_frame():
    assert time(2, 30, 1).take == (0,)


@pytest.mark.parametrize("official", [False, True])
def test_one_frame(official: bool):
    plan = time(1, 24, 48, compat="official" if official else "default")
    assert plan.key_index == (0,)
    assert plan.windows == ((0, 1),)
    # Lasting as long as the input takes two of them; the official program makes one.
    assert plan.take == ((0,) if official else (0, 0))


@pytest.mark.parametrize("target", [91, 100, 999])
def test_beyond_nine_times_the_rate_frames_are_held(target: int):
    plan = time(3, 10, target)
    assert (plan.stride, plan.rate) == (MAX_STRIDE, target)
    assert len(plan.take) == round(3 * target / 10)
    # Neighbours are the same or the next frame of the grid, and none is skipped.
    assert sorted(set(plan.take)) == list(range(plan.frames))


def test_a_clip_of_very_few_frames_per_second_can_get_any_rate():
    """68 pictures in 444 slots of 1/15 s are 2.3 per second."""
    plan = time(68, "85/37", 24)
    assert plan.stride == MAX_STRIDE
    assert len(plan.take) == round(68 / (85 / 37) * 24)


@pytest.mark.parametrize(
    ("rate", "options", "expected"),
    [
        (50, {"fps_scale": 2}, 100),
        ("24000/1001", {"fps_scale": 2}, Fraction(48000, 1001)),
        (50, {}, 50),
        (24, {"fps_scale": 2.5}, 60),
        (24, {"fps_scale": 0.5}, 12),
        (24, {"fps_scale": 2, "target_fps": 30}, 30),
    ],
)
def test_rate_of_the_output_without_a_target(rate, options: dict, expected):
    plan = plan_time(4, parse_fps(rate), VEnhancerOptions(**options))
    assert plan.rate == expected


def test_a_rate_that_no_video_has_is_refused():
    with pytest.raises(InputError, match=r"fps_scale 16: 3840 frames per second from 240"):
        plan_time(4, Fraction(240), VEnhancerOptions(fps_scale=16))


@pytest.mark.parametrize(("rate", "target"), [(24, 60), (16, 24), (23.976, 60), (2, 120), (24, 24)])
def test_official_times_are_the_tables(rate: float, target: float):
    plan = time(40, rate, target, compat="official")
    interpolation = official.interpolated_frames(float(parse_fps(rate)), target)
    assert plan.stride == interpolation + 1
    assert plan.rate == parse_fps(rate) * (interpolation + 1)
    assert list(plan.key_index) == official.key_index(40, interpolation)
    assert plan.take == tuple(range(plan.frames))
    assert list(plan.windows) == official.time_windows(plan.frames, interpolation)


@pytest.mark.parametrize("stride", range(1, 10))
@pytest.mark.parametrize("compat", ["default", "official"])
def test_windows_cover_the_grid_and_start_on_key_frames(stride: int, compat: str):
    for frames in (1, 2, 3, 12, 50):
        for window in (2, 3, 17, 32, 100):
            plan = time(frames, 10, 10 * stride, window=window, compat=compat)
            starts, ends = zip(*plan.windows, strict=True)
            assert (starts[0], ends[-1]) == (0, plan.frames)
            assert all(plan.key_index[start] >= 0 for start in starts)
            assert all(end > start for end, start in zip(ends, starts[1:], strict=False))
            if compat == "default":
                assert len({end - start for start, end in plan.windows}) == 1


@pytest.mark.parametrize(
    ("height", "width"), [(720, 1280), (181, 333), (333, 181), (64, 64), (1080, 1920), (16, 16)]
)
@pytest.mark.parametrize("up_scale", [1, 1.7, 4])
def test_working_size_is_legal(height: int, width: int, up_scale: float):
    plan = space(height, width, up_scale=up_scale, allow_beyond_4k=True)
    assert plan.size == (round(height * up_scale), round(width * up_scale))
    rows, columns = plan.working_size
    assert rows % 64 == 16
    assert columns % 64 == 0
    # Nothing is spent: less padding would be illegal.
    left, right, top, bottom = plan.padding
    assert (left, top) == (0, 0)
    assert max(right, bottom) < 64


def test_legal_sizes_are_not_padded():
    assert space(180, 320).padding == (0, 0, 0, 0)


def test_target_size_goes_before_up_scale():
    plan = space(100, 200, target_size=(300, 501), up_scale=4)
    assert plan.size == (300, 501)
    assert plan.scale == pytest.approx((300 * 501 / (100 * 200)) ** 0.5)


def test_networks_are_told_a_scale_they_know():
    assert space(64, 64, up_scale=3).scale == 3
    assert space(640, 640, up_scale=0.25).scale == 1
    assert space(16, 16, target_size=(512, 512)).scale == 8


def test_too_small_an_output_is_refused():
    with pytest.raises(InputError, match=r"15x30 .* from 60x120: .* at least 16 pixels"):
        space(60, 120, up_scale=0.25)


@pytest.mark.parametrize(("height", "width"), [(240, 426), (576, 320), (720, 1280), (181, 333)])
def test_official_sizes_are_the_tables(height: int, width: int):
    plan = space(height, width, compat="official", up_scale=3)
    assert plan.size == official.target_size(height, width, 3)
    assert plan.padding == official.padding(*plan.size)
    assert plan.scale == 8
    assert (plan.working_size[0] % 64, plan.working_size[1] % 64) == (16, 0)


def test_official_target_size_and_smaller_pad():
    plan = space(
        60, 90, compat="official", target_size=(90, 140), official_pad=(144, 192), official_scale=4
    )
    assert plan.size == (90, 140)
    assert plan.working_size == (144, 192)
    assert plan.scale == 4


@pytest.mark.parametrize("pad", [(700, 1280), (720, 1281)])
def test_official_pad_that_networks_do_not_take_is_refused(pad: tuple[int, int]):
    message = rf"official_pad {re.escape(str(pad))} .* 16 more than a multiple of 64"
    with pytest.raises(InputError, match=message):
        space(60, 90, compat="official", target_size=(90, 140), official_pad=pad)


@pytest.mark.parametrize("compat", ["default", "official"])
def test_hint_noise(compat: str):
    t, alpha, sigma = hint_noise(SCHEDULE, VEnhancerOptions(noise_aug=200, compat=compat))
    assert t == 199
    assert (alpha, sigma) == (SCHEDULE.alphas[199], SCHEDULE.sigmas[199])


def test_no_hint_noise_is_no_noise_but_all_noise_in_the_official_program():
    assert hint_noise(SCHEDULE, VEnhancerOptions(noise_aug=0)) == (0, 1, 0)
    assert hint_noise(SCHEDULE, VEnhancerOptions(noise_aug=0, compat="official")) == (-1, 0, 1)


@pytest.mark.parametrize("compat", ["default", "official"])
@pytest.mark.parametrize("noise_levels", [507, 900, 1000])
@pytest.mark.parametrize("solver", ["dpmpp_2m_sde", "heun", "ddim"])
def test_steps_are_finite_and_fall(solver: str, noise_levels: int, compat: str):
    common = {"solver": solver, "noise_levels": noise_levels, "compat": compat}
    for mode in ({}, {"solver_mode": "normal", "steps": noise_levels - 1}):
        steps = plan_steps(SCHEDULE, VEnhancerOptions(**common, **mode))
        assert isinstance(steps, HeunSteps if solver == "heun" else LinearSteps)
        assert steps.t[0] == noise_levels - 1
        assert (np.diff(steps.t) < 0).all()
        # The first noise level can be infinite: Heun's steps begin with pure noise.
        arrays = {k: v for k, v in vars(steps).items() if k not in ("edm_sigmas", "churned")}
        assert all(np.isfinite(array).all() for array in arrays.values())
    # The last one is `normal`, where the multistep solver leaves out one more.
    assert len(steps) == noise_levels - 1


def test_fast_mode_has_its_own_times():
    lengths = {"dpmpp_2m_sde": 14, "heun": 15, "ddim": 15}
    for solver, length in lengths.items():
        steps = plan_steps(SCHEDULE, VEnhancerOptions(solver=solver, steps=3))
        assert steps.t[:5].tolist() == [899, 799, 699, 599, 500]
        assert len(steps) == length


def test_official_steps_keep_fractional_times_and_the_start():
    exact = plan_steps(SCHEDULE, OFFICIAL)
    whole = plan_steps(SCHEDULE, VEnhancerOptions())
    np.testing.assert_array_equal(exact.t, whole.t)
    np.testing.assert_allclose(SCHEDULE.edm_sigma(np.array([899]))[0], exact.start)
    np.testing.assert_allclose(np.hypot(1, SCHEDULE.edm_sigma(np.array([899]))[0]), whole.start)
    levels = 1 / np.sqrt(1 + SCHEDULE.edm_sigma(whole.t).astype(float) ** 2)
    np.testing.assert_allclose(whole.c_in, levels, rtol=1e-6)
    assert np.abs(exact.c_in[5:] / levels[5:] - 1).min() > 1e-5


@pytest.mark.parametrize("compat", ["default", "official"])
def test_output_beyond_4k_is_requested_by_name(compat: str):
    options = {"compat": compat, "official_pad": (2192, 3840)}
    assert space(540, 960, target_size=(2160, 3840), **options).size == (2160, 3840)
    with pytest.raises(InputError, match="allow_beyond_4k=True"):
        space(540, 960, target_size=(2162, 3840), **options)
    larger = space(540, 960, target_size=(2162, 3840), allow_beyond_4k=True, **options)
    assert larger.size == (2162, 3840)


def test_windows_share_what_is_requested():
    def shared(**options) -> int:
        (_, stop), (start, _) = time(200, 24, None, **options).windows[:2]
        keys, overlap = window_keys(1, VEnhancerOptions(**options))
        assert keys == 32 and overlap == stop - start
        return overlap

    assert (shared(), shared(window_overlap=2), shared(window_overlap=16)) == (4, 2, 16)
    for name, value in {"window_overlap": 2, "tile": 64, "decode_chunk": 1}.items():
        with pytest.raises(InputError, match=f"{name} {value}: compat 'official'"):
            VEnhancerOptions(compat="official", **{name: value})
