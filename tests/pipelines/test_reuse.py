"""Cheaper steps: what is planned and skipped, and that the rest is the same."""

import dataclasses
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pipelines.tiny_system import clip, tiny_system

from venhancer_jax.diffusion.solvers import solve
from venhancer_jax.errors import InputError
from venhancer_jax.models.venhancer.int8 import quantised
from venhancer_jax.pipelines.venhancer import programs
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import plan_steps
from venhancer_jax.pipelines.venhancer.step_cache import Kept, Reusing, Work, plan_work
from venhancer_jax.sharding.flops import count_flops

SYSTEM = tiny_system()
NETWORK, PARAMS = SYSTEM.denoiser.network, SYSTEM.denoiser.params
TIMES = (899, 700, 500, 300, 100, 0)
NOTHING = Kept()
EVERYTHING = {"difference": "keep", "control": "keep", "deep": "keep"}


def sources(part: str, *, guided: bool = True, times=TIMES, **changes) -> list[str | None]:
    works = plan_work(times, VEnhancerOptions(**changes), guided=guided)
    return [getattr(work, part) for work in works]


def inputs(videos: int = 1, text: int = 2):
    """Arguments of `executables.denoise` behind the parameters."""
    keys = jax.random.split(jax.random.key(0), 3)
    features = jax.random.normal(keys[2], (text, 77, SYSTEM.denoiser.config.context_width))
    conditions = {
        "hint": jax.random.normal(keys[1], (videos, 3, 12, 16, 4)),
        "hint_t": jnp.full(videos, 199),
        "scale": jnp.full(videos, 4.0),
        "key_index": jnp.tile(jnp.arange(3), (videos, 1)),
    }
    return (
        jax.random.normal(keys[0], (videos, 3, 12, 16, 4)),
        np.int32(500),
        (jnp.float32(0.6), jnp.float32(0.8)),
        programs.compute_text_kv(NETWORK, PARAMS, features),
        (jnp.float32(3), jnp.float32(0.2)),
        conditions,
    )


def step(work: Work, kept: Kept = NOTHING, arguments=None):
    return programs.denoise_reusing(NETWORK, work, PARAMS, *(arguments or inputs()), kept)


def same(a, b, share: float = 1e-5) -> None:
    np.testing.assert_allclose(a, b, atol=share * float(jnp.abs(b).max()))


def enhance(frames=3, **changes) -> np.ndarray:
    usual = {"up_scale": 1.0, "solver_mode": "normal", "steps": 4, "guidance_scale": 3.0}
    options = VEnhancerOptions(**(usual | changes))
    return np.stack([*SYSTEM.enhance(clip(frames), rate=Fraction(10), options=options)])


def test_by_default_everything_is_computed():
    assert set(plan_work(TIMES, VEnhancerOptions(), guided=True)) == {Work()}
    assert set(plan_work(TIMES, VEnhancerOptions(), guided=False)) == {Work(difference=None)}
    assert not VEnhancerOptions().reuses


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (2, ["keep", "reuse", "keep", "reuse", "keep", "reuse"]),
        (3, ["keep", "reuse", "reuse", "keep", "reuse", "reuse"]),
        (9, ["keep", "reuse", "reuse", "reuse", "reuse", "reuse"]),
    ],
)
@pytest.mark.parametrize("part", ["guidance", "controlnet", "deep"])
def test_every_kth_call_computes(part: str, every: int, expected: list[str]):
    of_work = {"guidance": "difference", "controlnet": "control"}.get(part, part)

    assert sources(of_work, **{f"{part}_reuse": every}) == expected


def test_guidance_only_in_its_interval():
    inside = sources("difference", guidance_interval=(300, 700))
    reused = sources("difference", guidance_interval=(300, 700), guidance_reuse=2)

    assert inside == [None, "compute", "compute", "compute", None, None]
    assert reused == [None, "keep", "reuse", "keep", None, None]
    assert sources("difference", guided=False, guidance_reuse=2) == [None] * 6


def test_what_lacks_the_other_half_is_computed_early():
    """Only the conditional half runs before the interval: it cannot serve the pair."""
    chosen = {"guidance_interval": (0, 700), "deep_reuse": 3, "controlnet_reuse": 4}

    assert sources("deep", **chosen) == ["keep", "keep", "reuse", "reuse", "keep", "reuse"]
    # The second call needs the pair; the fifth one all levels, which are there.
    assert sources("control", **chosen) == ["keep", "keep", "reuse", "reuse", "reuse", "keep"]


def test_what_lacks_the_deep_levels_is_computed_early():
    chosen = {"guided": False, "deep_reuse": 3, "controlnet_reuse": 2}

    assert sources("deep", **chosen) == ["keep", "reuse", "reuse"] * 2
    # The third call keeps its first level only: not enough for the fourth.
    assert sources("control", **chosen) == ["keep", "reuse", "keep", "keep", "reuse", "keep"]


def test_keeping_changes_nothing():
    x0, kept = step(Work(**EVERYTHING))

    same(x0, programs.denoise(NETWORK, PARAMS, *inputs()))
    assert all(part is not None for part in kept)
    assert step(Work())[1] == Kept()


@pytest.mark.parametrize("part", ["difference", "control", "deep"])
def test_what_was_just_kept_gives_the_same(part: str):
    """Reused in the very same call, and only there: in another one it makes a difference."""
    x0, kept = step(Work(**EVERYTHING))
    work = Work(**{part: "reuse"})

    again, _ = step(work, kept)
    x, t, *rest = inputs()
    later, _ = step(work, kept, (x[:, ::-1], t - 200, *rest))
    exact = programs.denoise(NETWORK, PARAMS, x[:, ::-1], t - 200, *rest)

    same(again, x0)
    assert float(jnp.abs(later - exact).max()) > 1e-3


def test_all_at_once_gives_the_same():
    x0, kept = step(Work(**EVERYTHING))

    again, new = step(Work(**dict.fromkeys(EVERYTHING, "reuse")), kept)

    same(again, x0)
    assert new == Kept()


def test_first_level_of_the_controlnet_is_enough():
    """It is computed without the deep levels where those of the UNet are reused."""
    x0, kept = step(Work(**EVERYTHING))

    again, new = step(Work(control="keep", deep="reuse"), kept)

    same(again, x0)
    assert kept.control is not None and new.control is not None
    assert len(new.control) == 2 < len(kept.control)  # the first convolution and one block


def test_batch_of_videos():
    """Each video has its own cache, and the prompt's half comes first."""
    arguments = inputs(videos=2)
    exact = programs.denoise(NETWORK, PARAMS, *arguments)
    x0, kept = step(Work(**EVERYTHING), arguments=arguments)
    again, _ = step(Work(**dict.fromkeys(EVERYTHING, "reuse")), kept, arguments)

    same(x0, exact)
    same(again, exact)
    for i in range(2):
        x, t, levels, text, guidance, conditions = arguments
        one = jax.tree.map(lambda y, i=i: y[i : i + 1], conditions)
        alone = programs.denoise(NETWORK, PARAMS, x[i : i + 1], t, levels, text, guidance, one)
        same(exact[i : i + 1], alone)


def test_without_guidance_the_prompt_alone_answers():
    x, t, levels, text, guidance, conditions = inputs()
    prompt = jax.tree.map(lambda y: y[:1], text)
    alone = programs.denoise(NETWORK, PARAMS, x, t, levels, prompt, guidance, conditions)

    same(step(Work(difference=None))[0], alone)


def test_reuse_skips_work():
    arguments = inputs()
    kept = jax.eval_shape(lambda: step(Work(**EVERYTHING), arguments=arguments))[1]

    def flops(**changes) -> int:
        work = Work(**changes)
        return count_flops(
            lambda params, kept: programs.denoise_reusing(NETWORK, work, params, *arguments, kept),
            NETWORK.shapes,
            kept,
        )

    full, control, deep = flops(), flops(control="reuse"), flops(deep="reuse")
    assert flops(difference=None) == flops(difference="reuse") == full // 2
    assert 0 < control < full
    assert 0 < deep < full
    # The ControlNet's first level is still computed where the deep levels are reused.
    assert flops(deep="reuse", control="reuse") < min(control, deep)
    everything = flops(difference="reuse", deep="reuse", control="reuse")
    assert everything == flops(deep="reuse", control="reuse") // 2


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    """The work of every call that is made."""
    made = []
    denoise = programs.denoise_reusing

    def recorded(network, work, *rest):
        made.append(work)
        return denoise(network, work, *rest)

    monkeypatch.setattr(programs, "denoise_reusing", recorded)
    return made


def test_pipeline_goes_by_the_plan(works: list[Work]):
    chosen = {"guidance_reuse": 2, "controlnet_reuse": 3, "deep_reuse": 2}
    frames = enhance(**chosen)

    options = VEnhancerOptions(solver_mode="normal", steps=4, **chosen)
    times = plan_steps(SYSTEM.schedule, options).calls
    assert tuple(works) == plan_work(times, options, guided=True)
    assert len(works) == 4
    assert (frames != enhance()).any()


def test_integers_reuse_too():
    pytest.importorskip("qwix")
    params = {name: jnp.asarray(x) for name, x in PARAMS.items()}
    made = quantised(NETWORK, params, SYSTEM.denoiser.config)

    x0, kept = programs.denoise_reusing(made[0], Work(**EVERYTHING), made[1], *inputs(), NOTHING)
    again, _ = programs.denoise_reusing(
        made[0], Work(**dict.fromkeys(EVERYTHING, "reuse")), made[1], *inputs(), kept
    )

    same(again, x0, 0.05)  # scales of what comes in are those of fewer videos
    same(x0, step(Work())[0], 0.3)


def test_windows_have_caches_of_their_own(works: list[Work]):
    """Equal windows stay equal, and other ones do not mix."""
    frames = enhance(window=2, deep_reuse=2, controlnet_reuse=2)

    assert [work.deep for work in works] == ["keep", "keep", "reuse", "reuse"] * 2
    usual = enhance(window=2)
    # The error is that of reuse, not that of another window's features.
    assert np.abs(frames.astype(float) - usual).mean() < 0.5 * usual.std()


def test_interval_of_all_times_changes_nothing(works: list[Work]):
    assert (enhance(guidance_interval=(0, 999)) == enhance()).all()
    assert not works
    narrow = enhance(guidance_interval=(0, 998), noise_levels=900)
    assert len(works) == 4
    assert np.abs(narrow.astype(int) - enhance()).max() <= 1


def test_no_time_in_the_interval_is_no_guidance():
    frames = enhance(guidance_interval=(999, 999))

    assert np.abs(frames.astype(int) - enhance(guidance_scale=1.0)).max() <= 1


def test_heun_has_guidance_in_an_interval(works: list[Work]):
    enhance(solver="heun", guidance_interval=(300, 999))

    options = VEnhancerOptions(solver="heun", solver_mode="normal", steps=4)
    times = plan_steps(SYSTEM.schedule, options).calls
    assert len(times) == len(works) == 7
    assert [work.halves for work in works] == [2 if t >= 300 else 1 for t in times]


@pytest.mark.parametrize("solver", ["heun", "ddim", "dpmpp_2m_sde"])
@pytest.mark.parametrize("official", [False, True])
def test_calls_are_those_of_the_solver(solver, official: bool):
    compat = "official" if official else "default"
    steps = plan_steps(SYSTEM.schedule, VEnhancerOptions(solver=solver, compat=compat))
    asked = []

    def denoise(x, t):
        asked.append(int(t))
        return x

    solve(denoise, jnp.ones((1, 1, 2, 2, 1)), steps, lambda *_: jnp.zeros((1, 1, 2, 2, 1)))

    assert tuple(asked) == steps.calls


def test_reusing_holds_what_is_new_and_gives_what_is_needed():
    both = Work(deep="reuse", control="reuse")
    run = Reusing([Work(deep="keep"), Work(control="keep"), both, Work(deep="reuse")])
    seen = []

    def call(**new):
        def made(work, kept):
            seen.append([name for name, value in kept._asdict().items() if value is not None])
            return jnp.zeros(1), Kept(**new)

        run(made)

    call(deep=jnp.ones(1))
    call(control=(jnp.ones(2),))
    call()
    call()
    assert seen == [[], [], ["control", "deep"], ["deep"]]


def test_another_k_compiles_nothing():
    chosen = {"controlnet_reuse": 2, "steps": 4}
    compiled = programs.denoise_reusing._cache_size
    enhance(**chosen)
    before = compiled()

    enhance(**(chosen | {"controlnet_reuse": 3, "steps": 5}))

    assert compiled() == before > 0


@pytest.mark.parametrize("name", ["guidance_reuse", "controlnet_reuse", "deep_reuse"])
@pytest.mark.parametrize("value", [0, -1, 1001, 1.5])
def test_wrong_numbers(name: str, value):
    with pytest.raises(InputError, match=rf"{name} {value}: expected a whole number from 1"):
        VEnhancerOptions(**{name: value})


@pytest.mark.parametrize("value", [(-1, 5), (5, 4), (0, 1000), (1,), ("a", "b")])
def test_wrong_intervals(value):
    with pytest.raises(InputError, match=r"guidance_interval \(.*\): expected two whole numbers"):
        VEnhancerOptions(guidance_interval=value)


def test_heun_does_not_reuse():
    with pytest.raises(InputError, match="deep_reuse 2: expected 1 with solver 'heun'"):
        VEnhancerOptions(solver="heun", deep_reuse=2)
    assert VEnhancerOptions(solver="heun", guidance_interval=(0, 500)).reuses


def test_options_name_what_reuses():
    for name in ("guidance_reuse", "controlnet_reuse", "deep_reuse"):
        assert dataclasses.replace(VEnhancerOptions(), **{name: 2}).reuses
