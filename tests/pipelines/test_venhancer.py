"""Frames in, frames out, with networks of random weights."""

import itertools
import weakref
from collections.abc import Iterator
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pipelines.jax_events import COMPILE, events
from pipelines.tiny_system import clip, tiny_system

from venhancer_jax.diffusion import fidelity as fidelity_module
from venhancer_jax.diffusion.fidelity import low_pass
from venhancer_jax.diffusion.noise import CounterNoise, RecordedNoise
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.continuation import WHOLE_CLIP
from venhancer_jax.pipelines.step_cache import StepCache
from venhancer_jax.pipelines.system import Clip
from venhancer_jax.pipelines.venhancer import encode as encode_module
from venhancer_jax.pipelines.venhancer.conditions import input_latents
from venhancer_jax.pipelines.venhancer.encode import EncodedClip
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import VEnhancerPlan, plan_time
from venhancer_jax.video.motion import interpolate_frames

SYSTEM = tiny_system()
RATE = Fraction(10)
# All tests work on 24x32 pixels, most of them on 3 frames: one compilation.
OFFICIAL = {"compat": "official", "target_size": (20, 28), "official_pad": (24, 32)}


def options(**changes) -> VEnhancerOptions:
    short = {"up_scale": 1.0, "solver_mode": "normal", "steps": 2, "guidance_scale": 3.0}
    return VEnhancerOptions(**(short | changes))


def enhance(frames=None, *, noise=None, text=None, progress=None, **changes) -> np.ndarray:
    frames = clip(3) if frames is None else frames
    enhanced = SYSTEM.enhance(
        frames, rate=RATE, options=options(**changes), noise=noise, text=text, progress=progress
    )
    return np.stack(list(enhanced))


def denoised(frames: list[np.ndarray], noise=None, **changes):
    return SYSTEM.denoise_clip(frames, rate=RATE, options=options(**changes), noise=noise)


def encoded(frames: list[np.ndarray], **changes) -> EncodedClip:
    return SYSTEM._encode(frames, RATE, options(**changes), WHOLE_CLIP, lambda *_: None)[0]


def decoded(latents: jax.Array, plan: VEnhancerPlan, **changes) -> np.ndarray:
    pieces = SYSTEM.decode_frames(latents, plan.space, options(**changes))
    return np.concatenate([np.asarray(piece) for piece in pieces])


@pytest.fixture(scope="module")
def usual() -> np.ndarray:
    """Three frames, enhanced by default."""
    return enhance()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Arguments of every network call, which answers with its input."""
    recorded = []

    def denoise(network, plan, params, x, t, levels, text, guidance, conditions, cache):
        values = jax.tree.leaves(text)[-1]
        recorded.append({"x": x, "t": int(t), "text": values, "guidance": guidance} | conditions)
        return x, StepCache()

    monkeypatch.setattr(programs, "denoise", denoise)
    return recorded


@pytest.mark.parametrize(
    ("size", "changes", "expected"),
    [
        ((12, 16), {"up_scale": 2.0}, (24, 32)),
        ((24, 32), {"target_size": (23, 29)}, (23, 29)),
        ((11, 15), {"up_scale": 2.0}, (22, 30)),
        ((48, 64), {"up_scale": 0.5}, (24, 32)),
    ],
)
def test_frames_have_the_asked_size(size, changes, expected):
    frames = enhance(clip(3, *size), **changes)
    assert frames.shape == (3, *expected, 3)
    assert frames.dtype == np.uint8
    assert frames.std() > 10


def test_sixteen_bits_stay_sixteen_bits(usual: np.ndarray):
    fine = enhance([frame.astype(np.uint16) * 257 for frame in clip(3)])
    assert fine.dtype == np.uint16 and len(np.unique(fine % 257)) > 99
    assert np.abs(fine / 257 - usual).mean() < 0.3


def test_frames_are_pulled_one_by_one():
    events = []

    def pulled() -> Iterator[np.ndarray]:
        for i, frame in enumerate(clip(3)):
            events.append(("pulled", i + 1, None))
            yield frame

    stream = SYSTEM.enhance(
        pulled(), rate=RATE, options=options(), progress=lambda *event: events.append(event)
    )
    assert events == []  # nothing happens before the first frame is asked for
    assert len(list(stream)) == 3
    encoded = [[("pulled", i, None), ("encode", i, None)] for i in (1, 2, 3)]
    assert events[:6] == list(itertools.chain(*encoded))
    assert events[6:] == [
        *(("denoise", i, 2) for i in (1, 2)),
        *(("decode", i, 3) for i in (1, 2, 3)),
    ]


def test_frames_of_several_sizes_are_refused():
    with pytest.raises(InputError, match=r"frame 2 is \(24, 30, 3\), the first one \(24, 32, 3\)"):
        enhance([*clip(2), *clip(1, 24, 30)])


def test_no_frames_are_refused():
    with pytest.raises(InputError, match="no frames"):
        enhance([])


def test_same_bytes_again(usual: np.ndarray):
    assert (enhance() == usual).all()


def test_prompt_steps_and_guidance_compile_nothing():
    # A prompt that no other test has encoded: the system is shared.
    first = enhance(prompt="an owl at dusk", negative_prompt="an owl at noon", steps=3)
    with events() as seen:
        second = enhance(
            prompt="a fox", negative_prompt="a hen", steps=5, guidance_scale=4.0,
            guidance_rescale=0.5, noise_aug=100, noise_levels=800, seed=1,
        )  # fmt: skip
    assert seen[COMPILE] == 0
    assert (first != second).any()


@pytest.mark.parametrize(
    "changes",
    [
        {"noise_aug": 201},
        {"prompt": "a cat"},
        {"guidance_scale": 4.0},
        {"guidance_rescale": 0.9},
        {"solver": "ddim"},
        {"noise_levels": 800},
        {"colour": "lab"},
        # What the network is called with is tested below.
        *(
            pytest.param(changes, marks=pytest.mark.slow)
            for changes in (
                {"noise_aug": 0},
                {"negative_prompt": "a cat"},
                {"seed": 1},
                {"solver": "heun"},
                {"start_noise": 0.5},
                {"steps": 3},
            )
        ),
    ],
    ids=str,
)
def test_every_option_matters(changes, usual: np.ndarray):
    assert (enhance(**changes) != usual).any()


def test_fidelity_brings_coarse_latents_to_the_input():
    held = low_pass(encoded(clip(3)).mean)
    distances = []
    for fidelity in (0.0, 0.25, 0.5, 0.75, 1.0):
        latents, _ = denoised(clip(3), fidelity=fidelity)
        distances.append(float(jnp.abs(low_pass(latents) - held).mean()))
    assert all(b < 0.95 * a for a, b in itertools.pairwise(distances))


def test_no_fidelity_computes_and_compiles_nothing_more(monkeypatch: pytest.MonkeyPatch):
    latents, _ = denoised(clip(3))
    monkeypatch.setattr(fidelity_module, "_hold", None)
    with events() as seen:
        again, _ = denoised(clip(3), fidelity=0.0)
    np.testing.assert_array_equal(again, latents)
    assert seen[COMPILE] == 0


def test_frames_between_are_held_to_both_key_frames():
    source = encoded(clip(2), target_fps=RATE * 2)
    chosen = options(target_fps=RATE * 2)
    found = input_latents(source, plan_time(2, RATE, chosen), chosen)
    expected = jnp.stack([source.mean[:, 0], source.mean.mean(1), source.mean[:, 1]], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_scale_of_the_official_program_is_apart_from_the_sizes(calls):
    for scale in (8, 2):
        denoised(clip(3), **OFFICIAL, official_scale=scale)
    assert [float(call["scale"][0]) for call in calls[::2]] == [8, 2]


def test_video_matters(usual: np.ndarray):
    assert (enhance(clip(3)[::-1]) != usual).any()


def test_text_features_have_precedence_over_the_prompt(usual: np.ndarray):
    text = jnp.ones((2, 77, SYSTEM.denoiser.config.context_width))
    frames = enhance(text=text)
    assert (frames == enhance(text=text, prompt="a cat")).all()
    assert (frames != usual).any()


def test_scale_is_that_of_the_sizes(calls):
    denoised(clip(3, 12, 16), up_scale=2.0)
    denoised(clip(3, 12, 16), target_size=(24, 28))
    assert [float(call["scale"][0]) for call in calls[::2]] == pytest.approx([2, 3.5**0.5])


def test_guidance_of_1_uses_one_branch(calls):
    denoised(clip(3), guidance_scale=1.0)
    assert {call["text"].shape[0] for call in calls} == {1}
    guided = len(calls)
    denoised(clip(3), guidance_scale=3.0, guidance_rescale=0.25)
    assert {call["text"].shape[0] for call in calls[guided:]} == {2}
    assert calls[-1]["guidance"] == (3.0, 0.25)


def test_prompt_comes_before_the_negative_prompt(calls):
    for changes in ({}, {"prompt": "a cat"}, {"negative_prompt": "a cat"}):
        denoised(clip(3), steps=1, **changes)
    usual, prompt, negative = (np.asarray(call["text"]) for call in calls)
    assert [(usual[i] == prompt[i]).all() for i in (0, 1)] == [False, True]
    assert [(usual[i] == negative[i]).all() for i in (0, 1)] == [True, False]


def test_hint_is_the_noised_video(calls):
    keys = encoded(clip(3)).mean
    for noise_aug in (0, 1, 300):
        denoised(clip(3), noise_aug=noise_aug, seed=7)
        t = max(noise_aug - 1, 0)
        noise = CounterNoise(7)("hint", 0, keys.shape)
        alpha, sigma = SYSTEM.schedule.alphas[t], SYSTEM.schedule.sigmas[t]
        expected = keys if noise_aug == 0 else alpha * keys + sigma * noise
        np.testing.assert_allclose(calls[-1]["hint"], expected, atol=1e-5)
        assert calls[-1]["hint_t"].tolist() == [t]


@pytest.mark.parametrize("share", [1.0, 0.25, 0.0])
def test_start_is_the_noised_video(calls, share: float):
    mean = encoded(clip(2)).mean
    denoised(clip(2), target_fps=RATE * 2, start_noise=share)
    noise = CounterNoise(666)("start", 0, (1, 3, *mean.shape[2:]))
    alpha, sigma = SYSTEM.schedule.alphas[899], SYSTEM.schedule.sigmas[899]
    # The frame between starts from the key frame before it.
    expected = alpha * mean[:, jnp.array([0, 0, 1])] + share * sigma * noise
    np.testing.assert_allclose(calls[0]["x"], expected, atol=1e-4)


def test_frames_between_start_from_the_motion(calls):
    """The flow fills in the start; the hints stay those of the key frames."""
    frames = [np.roll(clip(1)[0], 2 * i, axis=1) for i in range(3)]
    found = {}
    for interpolation in ("previous", "flow"):
        denoised(
            frames,
            target_fps=RATE * 2,
            start_noise=0.0,
            noise_levels=100,
            interpolation=interpolation,
        )
        found[interpolation] = calls[0]
        calls.clear()
    previous, flow = found["previous"]["x"], found["flow"]["x"]
    np.testing.assert_allclose(flow[:, ::2], previous[:, ::2], atol=1e-5)
    assert float(jnp.abs(flow[:, 1::2] - previous[:, 1::2]).max()) > 0.01
    np.testing.assert_allclose(found["flow"]["hint"], found["previous"]["hint"], atol=1e-5)
    assert found["flow"]["key_index"].tolist() == found["previous"]["key_index"].tolist()
    interpolated = interpolate_frames(frames[0], frames[1], [0.5])[0]
    mean = encoded([interpolated]).mean
    alpha = SYSTEM.schedule.alphas[99]
    np.testing.assert_allclose(flow[:, 1], alpha * mean[:, 0], atol=1e-4)


def test_windows_have_the_hints_of_their_key_frames(calls):
    denoised(clip(3), target_fps=RATE * 2, window=3, noise_aug=0)
    whole = encoded(clip(3)).mean
    first, second = calls[:2]
    assert len(calls) == 4
    for call, keys in ((first, whole[:, :2]), (second, whole[:, 1:])):
        assert call["key_index"].tolist() == [[0, -1, 1]]
        np.testing.assert_array_equal(call["hint"], keys)
    # The shared frame has the same noise in both.
    np.testing.assert_array_equal(first["x"][:, 2], second["x"][:, 0])


def test_tiles_have_the_hints_of_their_place(calls):
    tiles = {"tile": 16, "tile_overlap": 0, "noise_aug": 0}
    latents, plan = denoised(clip(1), **tiles)
    hint = encoded(clip(1), **tiles).mean
    assert (plan.space.rows, plan.space.columns) == (((0, 6), (6, 12)), ((0, 8), (8, 16)))
    assert plan.window_count == 4 and len(calls) % 4 == 0 and latents.shape == hint.shape
    for call, (row, column) in zip(calls, itertools.product((0, 6), (0, 8)), strict=False):
        here = np.s_[:, :, row : row + 6, column : column + 8]
        assert call["x"].shape == (1, 1, 6, 8, 4)
        np.testing.assert_array_equal(call["hint"], hint[here])
    assert SYSTEM.plan(Clip(frames=1, height=24, width=32, rate=RATE), options()).space.tiles == 1


@pytest.mark.slow  # the network's own test shows that the index matters
def test_frames_to_interpolate_are_told_apart(monkeypatch: pytest.MonkeyPatch):
    frames = enhance(clip(2), target_fps=RATE * 2)
    denoise = programs.denoise

    def all_keys(*args):
        *others, conditions, cache = args
        return denoise(*others, conditions | {"key_index": jnp.array([[0, 0, 1]])}, cache)

    monkeypatch.setattr(programs, "denoise", all_keys)
    assert (frames != enhance(clip(2), target_fps=RATE * 2)).any()


def test_windows_agree_where_the_video_fits_in_one(calls):
    frames = enhance(window=3)
    assert (frames == enhance(window=32)).all()
    whole = len(calls)
    assert enhance(window=2).shape == frames.shape
    assert len(calls) == 2 * whole


@pytest.mark.usefixtures("calls")
def test_one_and_a_half_times_the_rate():
    chosen = {"target_fps": RATE * 3 / 2, "target_size": (22, 30), "window": 4}
    frames = enhance(clip(2), **chosen)
    latents, plan = denoised(clip(2), **chosen)
    assert latents.shape == (1, 4, 12, 16, 4)
    assert (plan.time.rate, plan.time.take) == (15, (0, 2, 3))
    grid = decoded(latents, plan)
    expected = np.round((np.clip(grid, -1, 1) * 0.5 + 0.5) * 255)[[0, 2, 3]]
    # Rounded, not truncated; a value between two steps may fall to either side.
    assert np.mean(frames == expected) > 0.999
    assert frames.shape == (3, 22, 30, 3)


@pytest.mark.usefixtures("calls")
def test_padding_is_cropped_where_it_was_put():
    latents, plan = denoised(clip(3), **OFFICIAL)
    assert plan.space.padding == (2, 2, 2, 2)
    cropped = decoded(latents, plan, **OFFICIAL)
    whole = SYSTEM.decode(latents)[0]
    np.testing.assert_array_equal(cropped, whole[:, 2:-2, 2:-2])


@pytest.mark.usefixtures("calls")
def test_official():
    frames = enhance(clip(2), target_fps=RATE * 2, **OFFICIAL)
    assert frames.shape == ((2 - 1) * (1 + 1) + 1, 20, 28, 3)
    latents, plan = denoised(clip(2), target_fps=RATE * 2, **OFFICIAL)
    assert plan.time.rate == 20
    grid = decoded(latents, plan, **OFFICIAL)
    expected = np.floor((np.clip(grid, -1, 1) * 0.5 + 0.5) * 255)
    assert np.mean(frames == expected) > 0.999


def test_official_draws_every_frame_from_the_posterior(calls):
    found = encoded(clip(2), **OFFICIAL)
    mean, std = found.mean, found.std
    denoised(clip(2), target_fps=RATE * 2, noise_aug=1, **OFFICIAL)
    at = jnp.array([0, 0, 1])
    drawn = mean[:, at] + std[:, at] * CounterNoise(666)("vae", 0, (1, 3, *mean.shape[2:]))
    alpha, sigma = SYSTEM.schedule.alphas[0], SYSTEM.schedule.sigmas[0]
    hint = alpha * drawn[:, ::2] + sigma * CounterNoise(666)("hint", 0, mean.shape)
    np.testing.assert_allclose(calls[0]["hint"], hint, atol=1e-4)


@pytest.mark.parametrize(
    "changes", [{}, pytest.param(OFFICIAL, marks=pytest.mark.slow)], ids=["default", "official"]
)
def test_recorded_noise_replays(changes: dict):
    drawn: dict[str, dict[int, np.ndarray]] = {}

    def recorder(stream: str, step: int, shape: tuple[int, ...]):
        row = CounterNoise(5)(stream, step, shape)
        drawn.setdefault(stream, {})[step] = np.asarray(row)
        return row

    frames = enhance(noise=recorder, seed=5, **changes)
    streams = {name: np.stack([*rows.values()]) for name, rows in drawn.items()}
    assert streams.keys() == {"start", "hint", "solver"} | ({"vae"} if changes else set())
    assert (frames == enhance(seed=5, **changes)).all()
    # The seed no longer matters.
    assert (frames == enhance(noise=RecordedNoise(streams), seed=9, **changes)).all()
    for name in streams:
        others = streams | {name: -streams[name]}
        assert (frames != enhance(noise=RecordedNoise(others), **changes)).any()


def test_plan_is_that_of_the_output():
    frames = enhance(clip(3), target_fps=Fraction(5))
    assert len(frames) == len(plan_time(3, RATE, options(target_fps=Fraction(5))).take) == 2


def test_deviations_are_freed_where_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch):
    """They are as large as the latents, and the default takes the means."""
    posteriors = []
    encode = encode_module.encode_frames

    def recorded(*args):
        # Those of the frame before are freed by now.
        assert all(x() is None for x in posteriors)
        posterior = encode(*args)
        posteriors.append(weakref.ref(posterior.log_variance))
        return posterior

    monkeypatch.setattr(encode_module, "encode_frames", recorded)
    assert encoded(clip(3)).std is None
    assert len(posteriors) == 3
    monkeypatch.undo()
    assert encoded(clip(3), **OFFICIAL).std is not None


def test_windows_compile_nothing_of_their_own(calls):
    """Twice as many windows take twice as many calls and no more compilations."""
    compiled = []
    for frames in (6, 12):
        with events() as seen:
            denoised(clip(frames), window=3, steps=1)
        compiled.append(seen[COMPILE])
    assert len(calls) == len(plan_time(6, RATE, options(window=3)).windows) + len(
        plan_time(12, RATE, options(window=3)).windows
    )
    assert compiled[1] <= compiled[0]
    assert len({call["x"].shape for call in calls}) == 1
