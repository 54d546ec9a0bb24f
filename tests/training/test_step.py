"""The step on a loss whose gradients are known: optimizer, average, steps that are skipped."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.training.config import training_config
from venhancer_jax.training.metrics import mean_metrics
from venhancer_jax.training.objective import Group
from venhancer_jax.training.state import TrainState, make_optimizer, optimizer_of
from venhancer_jax.training.step import make_step, model_flops

START = np.array([3.0, -2.0, 0.5], np.float32)


class Linear:
    """A loss whose gradient is the batch."""

    def loss(self, params, frozen, batch, key):
        return jnp.sum(params["x"] * batch["gradient"]), {}


def _config(**changes: Any):
    config = training_config()
    config.learning_rate, config.warmup_steps, config.weight_decay = 0.01, 0, 0.0
    config.update(changes)
    return config


def _run(gradients: Any, *, ema_decay: float = 0.9, objective: Any = None, **changes: Any):
    """Returns all states, from the start, and the metrics of all steps."""
    optimizer = optimizer_of(_config(**changes))
    step = jax.jit(make_step(objective or Linear(), optimizer, seed=0, ema_decay=ema_decay))
    states = [TrainState.start({"x": jnp.asarray(START)}, optimizer)]
    metrics = []
    for gradient in gradients:
        batch = {"gradient": jnp.asarray(gradient, jnp.float32)}
        state, values = step(states[-1], {}, batch)
        states.append(state)
        metrics.append(values)
    return states, metrics


def _moment(state: TrainState) -> np.ndarray:
    """Adam's first moment, a tenth of the first gradient that it was given."""
    leaves = jax.tree.leaves_with_path(state.optimizer)
    (moment,) = [np.asarray(x) for path, x in leaves if ".mu" in jax.tree_util.keystr(path)]
    return moment


GRADIENT = np.array([3.0, 4.0, 0.0])


def test_gradients_are_clipped_to_the_norm_of_the_config():
    for clip_norm, norm in ((2.0, 2.0), (100.0, 5.0)):
        states, metrics = _run([GRADIENT], clip_norm=clip_norm)

        assert np.linalg.norm(_moment(states[1])) == pytest.approx(0.1 * norm, rel=1e-5)
        assert float(metrics[0]["gradient_norm"]) == pytest.approx(5)


def test_weights_decay_by_rate_and_decay():
    for decay in (0.5, 0.0):
        states, _ = _run([np.zeros(3)], weight_decay=decay)

        np.testing.assert_allclose(states[1].params["x"], START * (1 - 0.01 * decay), rtol=1e-6)


def test_the_rate_rises_during_the_warmup():
    states, metrics = _run([np.ones(3)] * 6, warmup_steps=4)

    # Adam's update is the rate for a constant gradient.
    rates = [float(m["update_norm"]) / np.sqrt(3) for m in metrics]
    np.testing.assert_allclose(rates, [0, 0.0025, 0.005, 0.0075, 0.01, 0.01], rtol=1e-3, atol=1e-9)
    assert np.array_equal(states[1].params["x"], START)


def test_the_rate_falls_along_a_cosine():
    _, metrics = _run([np.ones(3)] * 4, cosine_decay=True, steps=4)

    rates = [float(m["update_norm"]) / np.sqrt(3) for m in metrics]
    expected = [0.01 * (1 + np.cos(np.pi * i / 4)) / 2 for i in range(4)]
    np.testing.assert_allclose(rates, expected, rtol=1e-3)


def test_a_short_run_with_cosine_decay_ends_in_its_warmup():
    for steps in (1, 4):
        _, metrics = _run([np.ones(3)] * steps, cosine_decay=True, steps=steps, warmup_steps=4)

        rates = [float(m["update_norm"]) / np.sqrt(3) for m in metrics]
        np.testing.assert_allclose(rates, 0.0025 * np.arange(steps), rtol=1e-3, atol=1e-9)


def test_the_average_is_that_of_the_new_parameters_without_the_start():
    states, _ = _run([np.ones(3)] * 5, ema_decay=0.9)

    history = [np.asarray(s.params["x"], np.float64) for s in states[1:]]
    for n in range(1, 6):
        weights = [0.1 * 0.9 ** (n - i) / (1 - 0.9**n) for i in range(1, n + 1)]
        expected = sum(w * x for w, x in zip(weights, history, strict=False))
        np.testing.assert_allclose(states[n].ema["x"], expected, rtol=1e-6)


def test_a_decay_of_zero_keeps_the_latest_parameters():
    states, _ = _run([np.ones(3)] * 2, ema_decay=0.0)

    np.testing.assert_array_equal(states[2].ema["x"], states[2].params["x"])


def test_the_average_moves_once_for_an_update_of_several_steps():
    gradients = np.random.default_rng(0).normal(size=(9, 3))
    states, metrics = _run(gradients, accumulate=3, clip_norm=100.0)
    whole, _ = _run(gradients.reshape(3, 3, 3).mean(1), clip_norm=100.0)

    assert [int(s.updates) for s in states] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    for i in (1, 2, 3):
        np.testing.assert_allclose(states[3 * i].params["x"], whole[i].params["x"], rtol=1e-5)
        np.testing.assert_allclose(states[3 * i].ema["x"], whole[i].ema["x"], rtol=1e-5)
    # Between updates it stands, though it differs from the parameters after the second.
    assert np.abs(states[6].ema["x"] - states[6].params["x"]).max() > 1e-4
    for i, updated in ((1, 0), (2, 0), (4, 3), (5, 3), (7, 6), (8, 6)):
        assert np.array_equal(states[i].ema["x"], states[updated].ema["x"]), i
    assert [bool(m["updated"]) for m in metrics] == [False, False, True] * 3


class Root:
    """A finite loss without a finite gradient where the batch has a zero."""

    def loss(self, params, frozen, batch, key):
        return jnp.sum(jnp.sqrt(jnp.abs(params["x"] * batch["gradient"]))), {}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(
    ("objective", "bad"),
    [(Linear(), [np.nan, 0, 0]), (Linear(), [np.inf, 1, 1]), (Root(), [0, 1, 1])],
)
def test_a_step_that_is_not_finite_changes_nothing(objective: Any, bad: Any, accumulate: int):
    good = [1.0, 2.0, 1.0]
    states, metrics = _run([good, bad, bad, good, good], objective=objective, accumulate=accumulate)

    assert [int(s.skipped) for s in states] == [0, 0, 1, 2, 0, 0]
    assert [bool(m["finite"]) for m in metrics] == [True, False, False, True, True]
    for name in ("params", "ema", "optimizer", "updates"):
        before, after = getattr(states[1], name), getattr(states[3], name)
        assert jax.tree.all(jax.tree.map(np.array_equal, before, after)), name
    assert [int(s.step) for s in states] == [*range(6)]
    without, _ = _run([good] * 3, objective=objective, accumulate=accumulate)
    np.testing.assert_allclose(states[5].params["x"], without[3].params["x"], rtol=1e-6)
    assert np.isfinite(float(metrics[2]["parameter_norm"]))


def test_an_update_that_is_not_finite_is_skipped():
    optimizer = make_optimizer(learning_rate=float("inf"))
    step = jax.jit(make_step(Linear(), optimizer, seed=0))
    start = TrainState.start({"x": jnp.asarray(START)}, optimizer)
    state, metrics = step(start, {}, {"gradient": jnp.ones(3)})

    assert int(state.skipped) == 1 and not metrics["finite"]
    assert np.array_equal(state.params["x"], START)


class Adversaries:
    """Two groups, each with the batch as its gradient; one of them has a counter."""

    def loss(self, params, frozen, batch, key):
        loss = jnp.sum(params["x"] * batch["gradient"])
        other = jnp.sum(params["other.x"] * batch["gradient"] * 100)
        return loss + other + 0 * params["other.count"], {"count": params["other.count"]}


def _run_groups(gradients: Any, groups: tuple[Group, ...], **changes: Any) -> Any:
    optimizer = optimizer_of(_config(**changes), groups)
    step = jax.jit(make_step(Adversaries(), optimizer, seed=0, groups=groups))
    params = {"x": jnp.asarray(START), "other.x": jnp.asarray(START), "other.count": jnp.zeros(())}
    states, metrics = [TrainState.start(params, optimizer)], []
    for gradient in gradients:
        state, values = step(states[-1], {}, {"gradient": jnp.asarray(gradient, jnp.float32)})
        states.append(state)
        metrics.append(values)
    return states, metrics


def _count(params: Any) -> Any:
    assert set(params) == {"other.x", "other.count"}
    return {"other.count": params["other.count"] + 1}


def test_each_group_has_an_optimizer_of_its_own():
    group = Group(prefix="other.", learning_rate=0.5)
    states, _ = _run_groups([np.ones(3), 2 * np.ones(3)], (group,), clip_norm=1.0)
    alone, _ = _run([np.ones(3), 2 * np.ones(3)], clip_norm=1.0)

    # The large gradient of the other group clips itself only.
    np.testing.assert_array_equal(states[2].params["x"], alone[2].params["x"])
    np.testing.assert_allclose(states[1].params["other.x"], START - 0.5, atol=1e-5)
    assert float(states[2].params["other.count"]) == 0


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_group_is_refreshed_before_each_step(accumulate: int):
    group = Group(prefix="other.", learning_rate=0.5, refresh=_count)
    gradients = [np.ones(3), np.full(3, np.nan), np.ones(3), np.ones(3)]
    states, metrics = _run_groups(gradients, (group,), accumulate=accumulate)

    assert [float(s.params["other.count"]) for s in states] == [0, 1, 1, 2, 3]
    assert [float(m["count"]) for m in metrics] == [1, 2, 2, 3]
    assert [int(s.updates) for s in states][-1] == 3 // accumulate


def test_a_run_without_groups_has_the_state_of_one_optimizer():
    config = _config()
    state = optimizer_of(config).init({"x": jnp.zeros(3)})
    plain = make_optimizer(learning_rate=config.learning_rate).init({"x": jnp.zeros(3)})

    assert jax.tree.structure(state) == jax.tree.structure(plain)


def test_metrics_are_means_over_the_steps_that_counted():
    gradients = [[1.0, 0, 0], [3.0, 0, 0], [np.nan, 0, 0], [2.0, 0, 0], [6.0, 0, 0]]
    _, metrics = _run(gradients, accumulate=2)
    means = mean_metrics(metrics)

    finite = [m for m in metrics if m["finite"]]
    assert means["skipped_steps"] == 1
    assert means["gradient_norm"] == pytest.approx(3)
    assert means["loss"] == pytest.approx(np.mean([float(m["loss"]) for m in finite]))
    # Two updates of five steps.
    updates = [float(m["update_norm"]) for m in metrics if m["updated"]]
    assert len(updates) == 2
    assert means["update_norm"] == pytest.approx(np.mean(updates))
    assert "skipped" not in means and "finite" not in means


class Layers:
    """Two products, of which the first is frozen, computed again in the gradient if asked."""

    def __init__(self, again: bool):
        self._again = again

    def loss(self, params, frozen, batch, key):
        def layers(params):
            return jnp.sum(
                jnp.tanh(jnp.tanh(batch["x"] @ frozen["a"]["w"]) @ params["b"]) @ params["c"]
            )

        return (jax.checkpoint(layers) if self._again else layers)(params), {}


def test_recomputation_is_no_work_of_the_model():
    def shape(*sizes: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(sizes, jnp.float32)

    params = {"b": shape(16, 32), "c": shape(32, 4)}
    frozen, batch = {"a": {"w": shape(8, 16)}}, {"x": shape(10, 8)}
    flops = [model_flops(Layers(again), params, frozen, batch) for again in (False, True)]

    a, b, c = (2 * 10 * m * n for m, n in ((8, 16), (16, 32), (32, 4)))
    # Forward; the gradients of b and c; the gradient of what comes into c.
    assert flops == [a + b + c + b + c + c] * 2


def test_each_step_draws_numbers_of_its_own():
    class Drawing(Linear):
        def loss(self, params, frozen, batch, key):
            return super().loss(params, frozen, batch, key)[0], {"drawn": jax.random.normal(key)}

    runs = [_run(3 * [GRADIENT], objective=Drawing())[1] for _ in range(2)]
    drawn, again = ([float(values["drawn"]) for values in metrics] for metrics in runs)

    assert len(set(drawn)) == 3
    assert again == drawn
