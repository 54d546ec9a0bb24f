"""Upscale-A-Video end to end, on networks of a few thousand parameters."""

import dataclasses
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pipelines.jax_events import COMPILE, events
from pipelines.tiny_system import clip
from pipelines.tiny_upscaler import tiny_upscaler

from venhancer_jax.diffusion.fidelity import low_pass
from venhancer_jax.diffusion.noise import CounterNoise
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines import pieces, programs
from venhancer_jax.pipelines.system import Clip
from venhancer_jax.pipelines.upscale_a_video.conditions import (
    compute_conditions,
    input_latents,
)
from venhancer_jax.pipelines.upscale_a_video.motion import compute_flows, refiner
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions
from venhancer_jax.pipelines.upscale_a_video.plan import UpscaleAVideoPlan
from venhancer_jax.pipelines.upscale_a_video.source import read_source
from venhancer_jax.pipelines.upscale_a_video.system import DenoisedClip
from venhancer_jax.sharding.mesh import inference_mesh

SYSTEM = tiny_upscaler()
RATE = Fraction(10)


def options(**changes) -> UpscaleAVideoOptions:
    return UpscaleAVideoOptions(**({"steps": 2, "flow": "dis"} | changes))


def frames(count: int = 3, height: int = 16, width: int = 24) -> list[np.ndarray]:
    return clip(count, height, width)


def denoise(source: list[np.ndarray], **changes) -> DenoisedClip:
    return SYSTEM.denoise_clip(source, rate=RATE, options=options(**changes))


def enhance(source: list[np.ndarray], **changes) -> np.ndarray:
    return np.stack([*SYSTEM.enhance(source, rate=RATE, options=options(**changes))])


@pytest.fixture(scope="module")
def three() -> np.ndarray:
    """Three frames, enhanced by default."""
    return enhance(frames())


@pytest.fixture(scope="module")
def latents() -> np.ndarray:
    """Clean latents of three frames, denoised by default."""
    return found_latents()


def found_latents(**changes) -> np.ndarray:
    (latents,) = denoise(frames(), **changes).latents
    return np.asarray(latents)


def test_four_times_the_size(three: np.ndarray):
    assert three.shape == (3, 64, 96, 3) and three.dtype == np.uint8
    assert three.std() > 10


def test_sixteen_bits_stay_sixteen_bits(three: np.ndarray):
    fine = enhance([frame.astype(np.uint16) * 257 for frame in frames()])
    assert fine.dtype == np.uint16 and len(np.unique(fine % 257)) > 99
    assert np.abs(fine / 257 - three).max() < 0.6


@pytest.mark.usefixtures("three")
def test_other_numbers_compile_nothing():
    enhance(frames(), propagation_steps=(1,))
    with events() as seen:
        enhance(
            frames(), prompt="", steps=4, seed=3, noise_level=20, guidance_scale=3.0,
            propagation_steps=(1, 3),
        )  # fmt: skip
    assert seen[COMPILE] == 0


def test_one_window_of_the_published_program_is_that_of_the_default(three: np.ndarray):
    """But for bytes, which it truncates: no tile, no second window, no padding."""
    published = enhance(frames(), compat="official", a_prompt="", prompt="").astype(int)
    rounded = enhance(frames(), a_prompt="", prompt="").astype(int)
    assert set(np.unique(rounded - published)) == {0, 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "a fox"},
        {"negative_prompt": "a hen"},
        {"a_prompt": ""},
        {"noise_level": 250},
        {"seed": 1},
        {"guidance_scale": 2.0},
        {"propagation_steps": (0,)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_option_matters(changes: dict, latents: np.ndarray):
    assert (found_latents(**changes) != latents).any()


def test_colours_are_corrected(three: np.ndarray):
    assert (enhance(frames(), colour="lab") != three).any()


def test_fidelity_brings_the_coarse_picture_to_the_input(latents: np.ndarray):
    """Which is encoded for it."""
    wanted = low_pass(input_latents(SYSTEM.vae, *_low_res(denoise(frames(), steps=1))))
    found = [found_latents(fidelity=fidelity) for fidelity in (0.0, 0.5, 1.0)]
    distances = [float(jnp.abs(low_pass(x) - wanted).mean()) for x in found]
    assert distances[1] < 0.8 * distances[0] and distances[2] < 0.8 * distances[1]
    np.testing.assert_array_equal(found[0], latents)


def _low_res(denoised: DenoisedClip) -> tuple[np.ndarray, UpscaleAVideoPlan]:
    return denoised.source.padded(), denoised.plan


def test_no_guidance_is_the_negative_prompt_alone():
    plain = found_latents(guidance_scale=0.0)
    np.testing.assert_array_equal(found_latents(guidance_scale=0.0, prompt="a fox"), plain)
    assert (found_latents(guidance_scale=0.0, negative_prompt="a hen") != plain).any()


@pytest.fixture(scope="module")
def five() -> DenoisedClip:
    """Five frames in two windows, denoised in one step."""
    return denoise(frames(5), steps=1, window=3, window_overlap=1)


def test_windows_are_blended(five: DenoisedClip):
    """The clean latents of the only step are the weighted sum of those of each window."""
    (tile,) = five.plan.space.tiles
    boxes = five.plan.boxes(tile)
    assert [box.frames.start for box in boxes] == [0, 2]
    np.testing.assert_allclose(five.latents[0], blended(five, boxes), atol=1e-4)


def test_tiles_are_crops_of_the_whole():
    """Noise and input of each tile are those of the whole frames at its place."""
    denoised = denoise(frames(3, 16, 40), steps=1, tile=24, tile_overlap=0)
    (tile,) = denoised.plan.space.tiles
    boxes = denoised.plan.boxes(tile)
    assert [box.columns.start for box in boxes] == [0, 16]
    np.testing.assert_allclose(denoised.latents[0], blended(denoised, boxes), atol=1e-4)


def test_conditions_of_several_windows(five: DenoisedClip):
    (tile,) = five.plan.space.tiles
    boxes = five.plan.boxes(tile)
    low_res = jnp.asarray(five.source.padded()[None])
    conditions = compute_conditions(
        low_res, 0, 4, SYSTEM.low_res_schedule, CounterNoise(10), noise_level=77
    )
    found = conditions.for_windows(boxes)
    for i, box in enumerate(boxes):
        expected = conditions.low_res[0, box.frames.start : box.frames.stop]
        np.testing.assert_array_equal(found["low_res"][i], expected)
    assert found["label"].tolist() == [77, 77]


def blended(denoised: DenoisedClip, boxes: list[pieces.Box]) -> np.ndarray:
    """Denoises box by box in one step, and adds the weighted results."""
    chosen, (network, params) = options(steps=1), _network()
    text = SYSTEM.text([chosen.a_prompt, "blur, worst quality"])
    text_kv = programs.compute_text_kv(network, params, text)
    low_res = jnp.asarray(denoised.source.padded()[None])
    conditions = compute_conditions(
        low_res, 0, 4, SYSTEM.low_res_schedule, CounterNoise(chosen.seed), chosen.noise_level
    )
    steps = SYSTEM.scheduler.ddim_steps(1)
    levels = [jnp.asarray(x[steps.t[0]]) for x in (_schedule().alphas, _schedule().sigmas)]
    guidance = jnp.float32(chosen.guidance_scale), jnp.float32(0)
    total = np.zeros(conditions.start.shape, np.float32)
    for box in boxes:
        x0, _ = programs.denoise(
            network, programs.StepPlan(), params, pieces.take(conditions.start, box), steps.t[0],
            tuple(levels), text_kv, guidance, conditions.for_windows([box]), programs.StepCache(),
        )  # fmt: skip
        place = tuple(slice(s.start, s.stop) for s in (box.frames, box.rows, box.columns))
        shares = [s.weights for s in (box.frames, box.rows, box.columns)]
        total[(0, *place)] += np.einsum("f,h,w->fhw", *shares)[..., None] * np.asarray(x0[0])
    start = np.asarray(conditions.start)
    return steps.c_x[0] * start + steps.c_x0[0] * total


def test_tiles_of_the_published_program():
    """Each has noise of its own; only its core is used, clipped."""
    chosen = {"compat": "official", "tile": 16, "tile_overlap": 8}
    drawn = []

    def noise(stream: str, step: int, shape: tuple[int, ...]) -> jax.Array:
        drawn.append((stream, step))
        return CounterNoise(10)(stream, step, shape)

    denoised = SYSTEM.denoise_clip(
        frames(3, 16, 32), rate=RATE, options=options(steps=1, **chosen), noise=noise
    )
    assert drawn == [("low_res", 0), ("start", 0), ("low_res", 1), ("start", 1)]
    tiles = denoised.plan.space.tiles
    assert [tile.size for tile in tiles] == [(16, 24), (16, 24)]

    alone = SYSTEM.denoise_clip(
        [frame[:, 8:] for frame in frames(3, 16, 32)], rate=RATE,
        options=options(steps=1, compat="official"),
        noise=lambda stream, _, shape: CounterNoise(10)(stream, 1, shape),
    )  # fmt: skip
    np.testing.assert_allclose(denoised.latents[1], alone.latents[0], atol=1e-5)

    (canvas,) = SYSTEM.decode_frames(denoised, options(**chosen))
    network, params = SYSTEM.vae.network, SYSTEM.vae.params
    for tile, latents, columns in zip(tiles, denoised.latents, [(0, 64), (32, 96)], strict=True):
        condition = denoised.source.frames[None, :, :, slice(*tile.columns)]
        decoded = programs.decode(network, params, latents, jnp.asarray(condition))[0]
        core = jnp.clip(decoded[:, :, slice(*columns)], -1, 1)
        start, stop = (4 * i for i in tile.core_columns)
        np.testing.assert_allclose(canvas[:, :, start:stop], core, atol=1e-5)


def test_every_frame_is_decoded(five: DenoisedClip):
    """Also those of a last chunk that starts earlier, whose frames are blended."""
    decoded = np.concatenate([*SYSTEM.decode_frames(five, options(window=3))])
    network, params = SYSTEM.vae.network, SYSTEM.vae.params
    first, last = (
        programs.decode(
            network, params, five.latents[0][:, start : start + 3],
            jnp.asarray(five.source.frames[None, start : start + 3]),
        )[0]
        for start in (0, 2)
    )  # fmt: skip
    assert decoded.shape == (5, 64, 96, 3)
    np.testing.assert_allclose(decoded[:2], np.clip(first[:2], -1, 1), atol=1e-5)
    np.testing.assert_allclose(decoded[3:], np.clip(last[1:], -1, 1), atol=1e-5)
    both = (first[2] + last[0]) / 2
    np.testing.assert_allclose(decoded[2], np.clip(both, -1, 1), atol=1e-5)


def test_small_frames_are_padded_and_cropped():
    found = enhance(frames(3, 15, 21), propagation_steps=(1,))
    assert found.shape == (3, 60, 84, 3)


@pytest.mark.parametrize(("up_scale", "size"), [(2.0, (32, 48)), (5.0, (80, 120))])
def test_any_size(up_scale: float, size: tuple[int, int], three: np.ndarray):
    found = enhance(frames(), up_scale=up_scale)
    assert found.shape == (3, *size, 3)
    assert abs(found.mean() - three.mean()) < 2


def test_rate():
    found = enhance(frames(), fps_scale=2.0)
    assert len(found) == 6
    np.testing.assert_array_equal(found[1], found[2])


@pytest.mark.parametrize("flow", ["dis", "raft"])
def test_one_frame_is_not_propagated(flow: str):
    chosen = options(propagation_steps=(1,), flow=flow)
    source = read_source(frames(1), RATE, chosen, lambda stage, done, total: None)
    flows = compute_flows(SYSTEM.raft, source, chosen)
    assert [each.shape for each in flows] == [(0, 16, 24, 2)] * 2
    x0 = jnp.ones((1, 1, 16, 24, 4))
    assert refiner(flows, source.plan.space.tiles[0], chosen)(x0, 1) is x0


def test_flow_by_the_network():
    found = enhance(frames(), propagation_steps=(1,), flow="raft")
    other = enhance(frames(), propagation_steps=(1,), flow="dis")
    assert found.shape == other.shape and (found != other).any()


def test_propagation_without_weights_of_the_flow():
    system = dataclasses.replace(SYSTEM, raft=None)
    chosen = options(propagation_steps=(1,), flow="raft")
    message = r"propagation_steps \(1,\): expected the weights of RAFT; set .*flow=dis"
    with pytest.raises(InputError, match=message):
        system.prepare([chosen])
    with pytest.raises(InputError, match=message):
        next(system.enhance(frames(), rate=RATE, options=chosen))


def test_frames_of_two_sizes():
    with pytest.raises(InputError, match=r"frame 1 is \(16, 32, 3\), the first one \(16, 24, 3\)"):
        enhance([*frames(1), *frames(1, 16, 32)])
    with pytest.raises(InputError, match="no frames"):
        enhance([])


def test_what_is_planned_is_what_runs(monkeypatch: pytest.MonkeyPatch):
    """Shapes of a plan are those that a run calls with, and every program can be lowered."""
    calls: dict[str, list] = {}

    def spied(name: str, function, static: int):
        def call(*arguments):
            calls.setdefault(name, []).append(_shapes(arguments[static:]))
            return function(*arguments)

        return call

    chosen = options(propagation_steps=(1,), flow="raft", prompt="a new one", fidelity=0.5)
    for name, static in (("embed_text", 1), ("encode", 1), ("denoise", 2), ("decode", 1)):
        monkeypatch.setattr(programs, name, spied(name, getattr(programs, name), static))
    list(SYSTEM.enhance(frames(), rate=RATE, options=chosen))
    monkeypatch.undo()
    mesh = inference_mesh(jax.devices()[:1])
    system = dataclasses.replace(SYSTEM, mesh=mesh)
    plan = system.plan(Clip(frames=3, height=16, width=24, rate=RATE), chosen)
    specs = {spec.name: spec for spec in system.programs(plan, chosen)}
    assert list(specs) == ["text", "encode", "flow", "denoise", "decode"]
    for name in ("text", "encode", "denoise", "decode"):
        called = "embed_text" if name == "text" else name
        if called != "embed_text":
            assert specs[name].calls == len(calls[called])
            assert _shapes(specs[name].arguments) == calls[called][-1], name
    for spec in specs.values():
        with jax.set_mesh(mesh):
            spec.function.lower(*spec.static, *spec.arguments)


def _shapes(tree) -> list[tuple[tuple[int, ...], np.dtype]]:
    return [(np.shape(x), jax.dtypes.canonicalize_dtype(x.dtype)) for x in jax.tree.leaves(tree)]


def _network():
    return SYSTEM.denoiser.network, SYSTEM.denoiser.params


def _schedule():
    return SYSTEM.scheduler.schedule
