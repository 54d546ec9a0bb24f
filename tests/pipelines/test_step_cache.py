"""Cheaper steps: what is planned, stored and reused, and that the rest is the same."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pipelines.tiny_system import clip, tiny_system

from venhancer_jax.diffusion.solvers import solve
from venhancer_jax.models.int8 import quantised
from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.step_cache import (
    CachedSteps,
    StepCache,
    StepPlan,
    plan_steps_reuse,
)
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import plan_steps
from venhancer_jax.sharding.flops import count_flops

SYSTEM = tiny_system()
NETWORK, PARAMS = SYSTEM.denoiser.network, SYSTEM.denoiser.params
TIMES = (899, 700, 500, 300, 100, 0)
STORE_ALL = StepPlan(difference="store", control="store", deep_features="store")
REUSE_ALL = StepPlan(difference="reuse", control="reuse", deep_features="reuse")


def sources(part: str, *, guided: bool = True, **changes) -> list[str | None]:
    plans = plan_steps_reuse(TIMES, VEnhancerOptions(**changes), guided=guided)
    return [getattr(plan, part) for plan in plans]


def inputs(windows: int = 1):
    """Arguments of `programs.denoise` behind the parameters, up to the cache."""
    keys = jax.random.split(jax.random.key(0), 3)
    features = jax.random.normal(keys[2], (2, 77, SYSTEM.denoiser.config.context_width))
    conditions = {
        "hint": jax.random.normal(keys[1], (windows, 3, 12, 16, 4)),
        "hint_t": jnp.full(windows, 199),
        "scale": jnp.full(windows, 4.0),
        "key_index": jnp.tile(jnp.arange(3), (windows, 1)),
    }
    return (
        jax.random.normal(keys[0], (windows, 3, 12, 16, 4)),
        np.int32(500),
        (jnp.float32(0.6), jnp.float32(0.8)),
        programs.compute_text_kv(NETWORK, PARAMS, features),
        (jnp.float32(3), jnp.float32(0.2)),
        conditions,
    )


def step(plan: StepPlan, cache: StepCache | None = None, arguments=None):
    return programs.denoise(
        NETWORK, plan, PARAMS, *(arguments or inputs()), StepCache() if cache is None else cache
    )


def same(a, b, share: float = 1e-5) -> None:
    np.testing.assert_allclose(a, b, atol=share * float(jnp.abs(b).max()))


def enhance(frames: int = 3, **changes) -> np.ndarray:
    usual = {"up_scale": 1.0, "solver_mode": "normal", "steps": 4, "guidance_scale": 3.0}
    options = VEnhancerOptions(**(usual | changes))
    return np.stack([*SYSTEM.enhance(clip(frames), rate=Fraction(10), options=options)])


@pytest.fixture(scope="module")
def stored() -> tuple[jax.Array, StepCache]:
    """Clean latents and stored results of a call that stores everything."""
    return step(STORE_ALL)


def test_by_default_everything_is_computed():
    plans = plan_steps_reuse(TIMES, VEnhancerOptions(), guided=True)
    assert plans == (StepPlan(),) * 6
    unguided = plan_steps_reuse(TIMES, VEnhancerOptions(), guided=False)
    assert unguided == (StepPlan(difference=None),) * 6


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (2, ["store", "reuse", "store", "reuse", "store", "reuse"]),
        (3, ["store", "reuse", "reuse", "store", "reuse", "reuse"]),
        (9, ["store", "reuse", "reuse", "reuse", "reuse", "reuse"]),
    ],
)
@pytest.mark.parametrize(
    ("option", "part"),
    [
        ("guidance_reuse", "difference"),
        ("controlnet_reuse", "control"),
        ("deep_reuse", "deep_features"),
    ],
)
def test_every_kth_call_computes(option: str, part: str, every: int, expected: list[str]):
    assert sources(part, **{option: every}) == expected


def test_guidance_only_in_its_interval():
    inside = sources("difference", guidance_interval=(300, 700))
    reused = sources("difference", guidance_interval=(300, 700), guidance_reuse=2)

    assert inside == [None, "compute", "compute", "compute", None, None]
    assert reused == [None, "store", "reuse", "store", None, None]
    assert sources("difference", guided=False, guidance_reuse=2) == [None] * 6


def test_what_lacks_the_negative_prompt_is_computed_early():
    """Only the prompt runs before the interval: its results cannot serve the pair."""
    chosen = {"guidance_interval": (0, 700), "deep_reuse": 3, "controlnet_reuse": 4}

    deep = ["store", "store", "reuse", "reuse", "store", "reuse"]
    assert sources("deep_features", **chosen) == deep
    # The second call needs the pair; the fifth one all levels, which are stored.
    control = ["store", "store", "reuse", "reuse", "reuse", "store"]
    assert sources("control", **chosen) == control


def test_what_lacks_the_deep_levels_is_computed_early():
    chosen = {"guided": False, "deep_reuse": 3, "controlnet_reuse": 2}

    assert sources("deep_features", **chosen) == ["store", "reuse", "reuse"] * 2
    # The third call stores its first level only: not enough for the fourth.
    control = ["store", "reuse", "store", "store", "reuse", "store"]
    assert sources("control", **chosen) == control


@pytest.mark.slow
def test_storing_changes_nothing(stored: tuple[jax.Array, StepCache]):
    x0, cache = step(StepPlan())
    same(stored[0], x0)
    assert cache == StepCache()
    assert all(part is not None for part in stored[1])


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(REUSE_ALL, marks=pytest.mark.slow),
        StepPlan(control="reuse"),
        pytest.param(StepPlan(difference="reuse"), marks=pytest.mark.slow),
    ],
    ids=["all", "control", "difference"],
)
def test_results_serve_the_call_that_stored_them(
    plan: StepPlan, stored: tuple[jax.Array, StepCache]
):
    """Reused in the very call that stored them, and only there: elsewhere it makes a difference."""
    again, new = step(plan, stored[1])
    x, t, *rest = inputs()
    later, _ = step(plan, stored[1], (x[:, ::-1], t - 200, *rest))
    exact, _ = step(STORE_ALL, arguments=(x[:, ::-1], t - 200, *rest))  # compiled already

    same(again, stored[0])
    assert new == StepCache()
    assert float(jnp.abs(later - exact).max()) > 1e-3


def test_first_level_of_the_controlnet_is_enough(stored: tuple[jax.Array, StepCache]):
    """It is computed without the deep levels where those of the UNet are reused."""
    again, new = step(StepPlan(control="store", deep_features="reuse"), stored[1])

    same(again, stored[0])
    assert stored[1].control is not None and new.control is not None
    assert len(new.control) == 2 < len(stored[1].control)  # the first convolution and one block


@pytest.mark.slow
def test_each_window_of_a_batch_has_its_own_cache(stored: tuple[jax.Array, StepCache]):
    """The prompt comes first, and each window answers as it does alone."""
    arguments = inputs(windows=2)
    x0, cache = step(STORE_ALL, arguments=arguments)
    again, _ = step(REUSE_ALL, cache, arguments)
    same(again, x0)
    x, t, levels, text, guidance, conditions = arguments
    for i in range(2):
        one = jax.tree.map(lambda y, i=i: y[i : i + 1], conditions)
        alone, _ = step(STORE_ALL, arguments=(x[i : i + 1], t, levels, text, guidance, one))
        same(x0[i : i + 1], alone)


@pytest.mark.slow
def test_without_guidance_the_prompt_alone_answers():
    x, t, levels, text, _, conditions = inputs()
    unguided, _ = step(StepPlan(difference=None))
    # A scale of 1 takes the conditional prediction; no contrast is added, so none is removed.
    one = jnp.float32(1), jnp.float32(0)
    same(unguided, step(StepPlan(), arguments=(x, t, levels, text, one, conditions))[0])


def test_reuse_skips_work(stored: tuple[jax.Array, StepCache]):
    arguments = inputs()
    cache = jax.eval_shape(lambda: stored[1])

    def flops(**changes) -> int:
        plan = StepPlan(**changes)
        return count_flops(
            lambda params, cache: programs.denoise(NETWORK, plan, params, *arguments, cache),
            NETWORK.shapes,
            cache,
        )

    full, control, deep = flops(), flops(control="reuse"), flops(deep_features="reuse")
    assert flops(difference=None) == flops(difference="reuse") == full // 2
    assert 0 < control < full
    assert 0 < deep < full
    # The ControlNet's first level is still computed where the deep levels are reused.
    both = flops(deep_features="reuse", control="reuse")
    assert both < min(control, deep)
    assert flops(difference="reuse", deep_features="reuse", control="reuse") == both // 2


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[StepPlan]:
    """The plan of every network call, which answers with its input and stores its number."""
    seen: list[StepPlan] = []

    def denoise(network, plan, params, x, t, levels, text, guidance, conditions, cache):
        for name in StepCache._fields:
            # What is reused was stored by the same window.
            if getattr(plan, name) == "reuse":
                np.testing.assert_array_equal(getattr(cache, name), conditions["hint"])
            else:
                assert getattr(cache, name) is None
        seen.append(plan)
        stored = [name for name in StepCache._fields if getattr(plan, name) == "store"]
        return x, StepCache(**dict.fromkeys(stored, conditions["hint"]))

    monkeypatch.setattr(programs, "denoise", denoise)
    return seen


def test_pipeline_goes_by_the_plan(plans: list[StepPlan]):
    chosen = {"guidance_reuse": 2, "controlnet_reuse": 3, "deep_reuse": 2}
    enhance(**chosen)

    options = VEnhancerOptions(solver_mode="normal", steps=4, **chosen)
    times = plan_steps(SYSTEM.schedule, options).calls
    assert tuple(plans) == plan_steps_reuse(times, options, guided=True)
    assert len(plans) == 4


def test_windows_have_caches_of_their_own(plans: list[StepPlan]):
    enhance(5, window=3, deep_reuse=2, controlnet_reuse=2)

    assert [plan.deep_features for plan in plans] == 2 * [*["store"] * 3, *["reuse"] * 3]


def test_heun_has_guidance_in_an_interval(plans: list[StepPlan]):
    enhance(solver="heun", guidance_interval=(300, 999))

    options = VEnhancerOptions(solver="heun", solver_mode="normal", steps=4)
    times = plan_steps(SYSTEM.schedule, options).calls
    assert len(times) == len(plans) == 7
    assert [plan.guidance_batch for plan in plans] == [2 if t >= 300 else 1 for t in times]


def test_no_time_in_the_interval_is_no_guidance(plans: list[StepPlan]):
    enhance(guidance_interval=(999, 999), steps=2)
    apart = plans.copy()
    plans.clear()
    enhance(guidance_scale=1.0, steps=2)

    assert apart == plans == 2 * [StepPlan(difference=None)]


@pytest.mark.parametrize("solver", ["heun", "ddim", "dpmpp_2m_sde"])
@pytest.mark.parametrize("compat", ["default", "official"])
def test_calls_are_those_of_the_solver(solver: str, compat: str):
    steps = plan_steps(SYSTEM.schedule, VEnhancerOptions(solver=solver, compat=compat))
    called = []

    def denoise(x, t):
        called.append(int(t))
        return x

    solve(denoise, jnp.ones((1, 1, 2, 2, 1)), steps, lambda *_: jnp.zeros((1, 1, 2, 2, 1)))

    assert tuple(called) == steps.calls


def test_the_cache_holds_what_is_reused_later_and_no_longer():
    plans = [
        StepPlan(deep_features="store"),
        StepPlan(control="store"),
        StepPlan(deep_features="reuse", control="reuse"),
        StepPlan(deep_features="reuse"),
    ]
    run = CachedSteps(plans)
    passed, held = [], []

    def call(**new):
        def answer(plan, cache):
            passed.append({name for name, value in cache._asdict().items() if value is not None})
            return jnp.zeros(1), StepCache(**new)

        run(answer)
        held.append({n for n, value in run._cache._asdict().items() if value is not None})

    call(deep_features=jnp.ones(1))
    call(control=(jnp.ones(2),), difference=jnp.ones(1))
    call()
    call()
    assert passed == [set(), set(), {"control", "deep_features"}, {"deep_features"}]
    # A result that no later call reuses is freed.
    assert held == [{"deep_features"}, {"control", "deep_features"}, {"deep_features"}, set()]


@pytest.mark.slow
def test_another_k_compiles_nothing():
    chosen = {"controlnet_reuse": 2, "steps": 4}
    compiled = programs.denoise._cache_size
    enhance(**chosen)
    before = compiled()

    enhance(**(chosen | {"controlnet_reuse": 3, "steps": 5}))

    assert compiled() == before > 0


@pytest.mark.slow
def test_integers_reuse_too():
    pytest.importorskip("qwix")
    params = {name: jnp.asarray(x) for name, x in PARAMS.items()}
    network, quantised_params = quantised(NETWORK, params, SYSTEM.denoiser.config)

    def int8_step(plan: StepPlan, cache: StepCache):
        return programs.denoise(network, plan, quantised_params, *inputs(), cache)

    x0, cache = int8_step(STORE_ALL, StepCache())
    again, _ = int8_step(REUSE_ALL, cache)

    same(again, x0, 0.05)  # scales of the activations are those of fewer videos
    same(x0, step(StepPlan())[0], 0.3)
