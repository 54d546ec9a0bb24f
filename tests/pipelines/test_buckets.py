"""Few shapes for many clips, and what comes out of them."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from pipelines.tiny_system import clip, tiny_system

from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.pieces import key_frame_windows
from venhancer_jax.pipelines.step_cache import StepCache
from venhancer_jax.pipelines.venhancer import buckets
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import plan_time

SYSTEM = tiny_system()
RATE = Fraction(10)
SHORT = {"up_scale": 1.0, "solver_mode": "normal", "steps": 2, "window": 9}


def enhance(frames: list[np.ndarray], **changes) -> np.ndarray:
    options = VEnhancerOptions(**(SHORT | {"guidance_scale": 3.0} | changes))
    return np.stack([*SYSTEM.enhance(frames, rate=RATE, options=options)])


def compiled() -> list[int]:
    """Number of compiled programs of the VAE."""
    networks = (programs.encode, programs.decode)
    return [program._cache_size() for program in networks]


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Shapes of latents and hints of every network call, which answers with its input."""
    seen = []

    def denoise(network, plan, params, x, t, levels, text, guidance, conditions, cache):
        seen.append((x.shape, conditions["hint"].shape))
        return x, StepCache()

    monkeypatch.setattr(programs, "denoise", denoise)
    return seen


@pytest.mark.parametrize("stride", range(1, 10))
@pytest.mark.parametrize("window", [2, 9, 24, 32])
def test_few_lengths_that_windows_have(stride: int, window: int):
    lengths = {}
    for frames in range(1, 3 * window):
        extended = buckets.key_frames(frames, stride, window)
        grid = (extended - 1) * stride + 1
        (start, end), *_ = key_frame_windows(grid, stride, window)
        lengths[frames] = end - start
        assert extended >= frames
        if (frames - 1) * stride + 1 <= window:
            assert grid <= window, "a clip that fits in a window still does"
    assert len(set(lengths.values())) <= 4
    assert lengths[1] == 1


def test_the_list_of_the_default_window():
    frames = [buckets.key_frames(n, 1, 32) for n in (1, 2, 9, 10, 17, 18, 32, 33, 100)]
    assert frames == [1, 9, 9, 17, 17, 32, 32, 33, 100]


def test_mirrored():
    assert buckets.mirror_pad_indices(3, 8).tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert buckets.mirror_pad_indices(3, 3).tolist() == [0, 1, 2]
    assert buckets.mirror_pad_indices(1, 3).tolist() == [0, 0, 0]
    assert buckets.mirror_pad_indices(2, 5).tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("rate", [10, 15, 20])
def test_the_output_has_the_frames_of_the_clip(rate: int):
    options = VEnhancerOptions(target_fps=Fraction(rate), window=9)
    for frames in range(1, 12):
        plan = plan_time(frames, RATE, dataclasses.replace(options, shape_buckets=True))
        exact = plan_time(frames, RATE, options)
        assert plan.take == exact.take
        assert plan.frames >= exact.frames
        assert plan.key_index[: exact.frames] == exact.key_index


def test_sizes_are_coarser():
    sizes = [
        SYSTEM.plan_space(24, 32, VEnhancerOptions(up_scale=scale, shape_buckets=True)).working_size
        for scale in (1.0, 0.9)
    ]
    assert sizes == [(24, 32), (24, 32)]
    exact = SYSTEM.plan_space(20, 28, VEnhancerOptions(up_scale=1.0))
    assert exact.working_size == (20, 28)


@pytest.mark.parametrize("interpolation", ["previous", "flow"])
def test_clips_of_several_lengths_and_sizes_share_programs(interpolation: str, shapes: list):
    chosen = {"target_fps": Fraction(20), "interpolation": interpolation, "shape_buckets": True}
    # A grid of 7 frames is extended to 9.
    first = enhance([f[:22, :28] for f in clip(5)], **chosen)
    before, windows = compiled(), set(shapes)
    second = enhance([f[:24, :30] for f in clip(5)], **chosen)
    third = enhance(clip(4), **chosen)
    assert compiled() == before
    assert set(shapes) == windows and len(windows) == 1
    assert (first.shape, second.shape) == ((10, 22, 28, 3), (10, 24, 30, 3))
    assert third.shape == (8, 24, 32, 3)


def test_what_is_added_is_the_clip_backwards(monkeypatch: pytest.MonkeyPatch):
    calls = []
    monkeypatch.setattr(
        programs, "denoise", lambda *args: calls.append(args) or (args[3], StepCache())
    )
    enhance(clip(4), noise_aug=0, start_noise=0.0, shape_buckets=True)
    (_, _, _, x, *_, conditions, _), *_ = calls
    assert x.shape[1] == 5
    np.testing.assert_array_equal(x[:, 4], x[:, 2])
    np.testing.assert_array_equal(conditions["hint"][:, 4], conditions["hint"][:, 2])
    assert conditions["key_index"].tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.slow
def test_a_clip_that_has_such_a_shape_is_not_changed():
    np.testing.assert_array_equal(enhance(clip(3)), enhance(clip(3), shape_buckets=True))
