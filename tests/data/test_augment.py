import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from venhancer_jax.data.augment import (
    AugmentConfig,
    augment,
    crop,
    downsample,
    key_frames,
    pick_frames,
    sample_augment_params,
)
from venhancer_jax.data.resample import METHODS, resample, shrink_to_cover
from venhancer_jax.errors import InputError
from venhancer_jax.text.tokenizer import tokenize
from venhancer_jax.video.motion import interpolate_frames

DRAWS = 10_000


@pytest.fixture(scope="module")
def draws():
    config, rng = AugmentConfig(real_world=0.25), np.random.default_rng(5)
    return [sample_augment_params(config, rng) for _ in range(DRAWS)]


def chi_square(values, probabilities):
    """Pearson's statistic; about as large as there are values, if the probabilities are true."""
    expected = {value: p * len(values) for value, p in probabilities.items()}
    assert set(values) <= set(expected)
    return sum((list(values).count(v) - e) ** 2 / e for v, e in expected.items())


def test_stride_and_scale_are_proportional_to_their_value(draws):
    shares = {value: value / 36 for value in range(1, 9)}
    # 7 degrees of freedom: above 24.3 once in a thousand times.
    for name in ("stride", "scale"):
        values = [getattr(drawn, name) for drawn in draws]
        assert chi_square(values, shares) < 24.3
        assert values.count(8) / values.count(4) == pytest.approx(2, rel=0.12)
        # The uniform distribution is told apart.
        assert chi_square(values, dict.fromkeys(range(1, 9), 1 / 8)) > 1000


def test_stride_and_scale_are_independent(draws):
    pairs = np.array([(drawn.stride, drawn.scale) for drawn in draws])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 0.035


def test_noise_level_is_uniform(draws):
    levels = np.array([drawn.noise_aug for drawn in draws])
    assert levels.min() == 1 and levels.max() == 300
    # 29 degrees of freedom.
    assert chi_square(list((levels - 1) // 10), dict.fromkeys(range(30), 1 / 30)) < 58.3


def test_dropout_and_real_world_shares(draws):
    assert np.mean([drawn.drop_text for drawn in draws]) == pytest.approx(0.1, abs=0.01)
    assert np.mean([drawn.real_world for drawn in draws]) == pytest.approx(0.25, abs=0.015)


def test_key_frame_counts_follow_the_stride(draws):
    counts = [len(key_frames(25, drawn.stride)) for drawn in draws]
    # Keys of 25 frames: 0, m, 2m and so on, and the last.
    by_stride = {1: 25, 2: 13, 3: 9, 4: 7, 5: 6, 6: 5, 7: 5, 8: 4}
    assert {drawn.stride: n for drawn, n in zip(draws, counts, strict=True)} == by_stride
    expected = sum(m / 36 * n for m, n in by_stride.items())
    assert np.mean(counts) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("last", "keys"), [(True, [0, 3, 6, 7]), (False, [0, 3, 6])])
def test_key_frames(last, keys):
    assert key_frames(8, 3, last_is_key=last).tolist() == keys


def slow_bilinear(image, size):
    """Triangle kernel on pixel centres, widened when shrinking; pixel by pixel."""
    out = image.astype(np.float64)
    for axis in range(2):
        old, new = out.shape[axis], size[axis]
        ratio = old / new
        lines = []
        for i in range(new):
            centre = (i + 0.5) * ratio - 0.5
            width = max(ratio, 1)
            if ratio <= 1:
                centre = min(max(centre, 0), old - 1)
            weights = [max(0, 1 - abs(j - centre) / width) for j in range(old)]
            lines.append(sum(w * out.take(j, axis) for j, w in enumerate(weights)) / sum(weights))
        out = np.stack(lines, axis)
    return out


@pytest.mark.parametrize("seed", range(6))
def test_example_against_slow_numpy(seed):
    frames = np.random.default_rng(seed).integers(0, 256, (11, 24, 32, 3), np.uint8)
    config = AugmentConfig(frames=11, height=24, width=32, text_dropout=0.5)
    example = augment(frames, "a boat", config, np.random.default_rng(seed))
    drawn = sample_augment_params(config, np.random.default_rng(seed))
    assert (example["stride"], example["scale"]) == (drawn.stride, drawn.scale)
    assert example["noise_aug"] == drawn.noise_aug
    text = "" if drawn.drop_text else "a boat"
    np.testing.assert_array_equal(example["tokens"], tokenize([text])[0])
    np.testing.assert_array_equal(example["video"], frames)

    small = round(24 / drawn.scale), round(32 / drawn.scale)
    last_key = None
    for f in range(11):
        is_key = f % drawn.stride == 0 or f == 10
        assert example["key_index"][f] == (f if is_key else -1)
        if is_key:
            shrunk = np.rint(slow_bilinear(frames[f], small).clip(0, 255))
            last_key = np.rint(slow_bilinear(shrunk, (24, 32))).clip(0, 255)
        # Float32 against float64 may round one level apart.
        difference = np.abs(example["low"][f] - last_key)
        assert difference.max() <= 1 and (difference > 0).mean() < 0.02
    assert example["low"].dtype == np.uint8


def test_frames_between_follow_the_flow():
    wide = (
        np.random.default_rng(0).integers(0, 256, (1, 8, 16, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    )
    frames = np.concatenate([np.roll(wide, 2 * i, axis=2) for i in range(6)])[:, :, :96]
    config = AugmentConfig(frames=6, height=64, width=96, strides=(3,), scales=(2,))
    previous = augment(frames, "", config, np.random.default_rng(0))
    config = dataclasses.replace(config, interpolation="flow")
    flow = augment(frames, "", config, np.random.default_rng(0))

    keys = [0, 3, 5]
    assert flow["key_index"].tolist() == [0, -1, -1, 3, -1, 5]
    np.testing.assert_array_equal(flow["low"][keys], previous["low"][keys])
    for start, end in ((0, 3), (3, 5)):
        times = [(n - start) / (end - start) for n in range(start + 1, end)]
        expected = interpolate_frames(flow["low"][start], flow["low"][end], times)
        np.testing.assert_array_equal(flow["low"][start + 1 : end], expected)


def test_same_generator_same_example():
    frames = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), np.uint8)
    config = AugmentConfig(frames=9, height=32, width=32, real_world=0.5)
    for seed in range(4):
        a, b = (augment(frames, "x", config, np.random.default_rng(seed)) for _ in range(2))
        assert all(np.array_equal(a[key], b[key]) for key in a)


def test_scale_one_leaves_frames_as_they_are():
    frames = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    np.testing.assert_array_equal(downsample(frames, 1, AugmentConfig()), frames)


def test_the_low_video_can_stay_small():
    frames = np.random.default_rng(0).integers(0, 256, (2, 24, 16, 3), np.uint8)
    for real_world in (0.0, 1.0):
        changes = {"frames": 2, "height": 24, "width": 16, "scales": (4.0,), "strides": (1,)}
        config = AugmentConfig(**changes, enlarge=False, real_world=real_world)
        example = augment(frames, "", config, np.random.default_rng(1))
        assert example["low"].shape == (2, *config.low_size, 3) == (2, 6, 4, 3)
        assert AugmentConfig(**changes).low_size == (24, 16)
        if not real_world:
            np.testing.assert_array_equal(example["low"], downsample(frames, 4, config))


@pytest.mark.parametrize("method", METHODS)
def test_resampling_keeps_constants_and_ramps(method):
    ramp = np.broadcast_to(np.arange(64, dtype=np.float32)[:, None], (1, 48, 64, 3))
    small = resample(ramp, (12, 16), method)
    # Away from the edges, pixel i of 16 sees the mean place of its four.
    np.testing.assert_allclose(small[0, 6, 4:12, 0], 4 * np.arange(4, 12) + 1.5, atol=1e-4)
    np.testing.assert_allclose(resample(np.full((1, 9, 7, 3), 77.0, "f4"), (20, 3), method), 77)


def test_area_is_the_mean_of_blocks():
    frames = np.random.default_rng(0).random((2, 12, 8, 3), np.float32)
    expected = frames.reshape(2, 4, 3, 4, 2, 3).mean((2, 4))
    np.testing.assert_allclose(resample(frames, (4, 4), "area"), expected, atol=1e-6)


def test_cover_shrinks_by_area():
    frames = np.random.default_rng(0).integers(0, 256, (2, 96, 160, 3), np.uint8)
    covered = shrink_to_cover(frames, 24, 32)
    assert covered.shape == (2, 24, 40, 3)
    expected = frames.reshape(2, 24, 4, 40, 4, 3).mean((2, 4))
    assert np.abs(covered - expected).max() <= 1.01
    assert shrink_to_cover(frames, 100, 32) is frames


def test_crop_is_a_random_window():
    marks = np.stack(np.meshgrid(np.arange(40), np.arange(30), np.zeros(1)), -1)[:, :, 0]
    frames = np.broadcast_to(marks.astype(np.uint8), (3, 30, 40, 3))
    config, rng = (
        AugmentConfig(frames=3, height=10, width=8, shrink=False),
        np.random.default_rng(0),
    )
    corners = [crop(frames, config, rng) for _ in range(300)]
    assert all(window.shape == (3, 10, 8, 3) for window in corners)
    lefts, tops = zip(*[map(int, window[0, 0, 0, :2]) for window in corners], strict=True)
    assert (min(lefts), max(lefts), min(tops), max(tops)) == (0, 32, 0, 20)
    with pytest.raises(InputError, match="smaller than an example of 10x8"):
        crop(frames[:, :9], config, rng)


@pytest.mark.parametrize(
    ("rate", "wanted", "steps"),
    [(24, 24, [0, 1, 2, 3, 4]), (48, 24, [0, 2, 4, 6, 8]), (60, 24, [0, 3, 5, 8, 10])],
)
def test_frame_rate_by_leaving_out_frames(rate, wanted, steps):
    config = AugmentConfig(frames=5, rate=Fraction(wanted))
    starts = set()
    for seed in range(60):
        numbers = pick_frames(14, Fraction(rate), config, np.random.default_rng(seed))
        assert (numbers - numbers[0]).tolist() == steps
        starts.add(int(numbers[0]))
    assert starts == set(range(14 - steps[-1]))


def test_clips_that_are_too_short_or_too_slow():
    rng = np.random.default_rng(0)
    config = AugmentConfig(frames=5, rate=Fraction(24))
    with pytest.raises(InputError, match="8 frames, where an example takes 9"):
        pick_frames(8, Fraction(48), config, rng)
    with pytest.raises(InputError, match="12 frames a second, less than rate=24"):
        pick_frames(80, Fraction(12), config, rng)


@pytest.mark.parametrize(
    "wrong",
    [
        {"strides": (0, 1)},
        {"scales": (0.5,)},
        {"scales": (2.0, 4.0), "enlarge": False},
        {"noise_levels": (5, 1)},
        {"noise_levels": (0, 300)},
        {"text_dropout": 2},
        {"down": "nearest"},
        {"interpolation": "blend"},
        {"frames": 0},
        {"rate": Fraction(0)},
    ],
)
def test_wrong_settings(wrong):
    with pytest.raises(InputError, match=next(iter(wrong)).rstrip("s")):
        AugmentConfig(**wrong)
