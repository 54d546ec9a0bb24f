"""Plans of a training."""

import json
import runpy
from pathlib import Path

import jax
import pytest
from ml_collections import ConfigDict
from venhancer_jax.planning.changes import SLACK

from venhancer_jax.errors import InputError
from venhancer_jax.planning import command, training
from venhancer_jax.planning.program import ProgramStats
from venhancer_jax.planning.topology import find_topology
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.training import run
from venhancer_jax.training.config import training_config
from venhancer_jax.training.state import TrainState
from venhancer_jax.training.tasks import task_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config() -> ConfigDict:
    config = training_config()
    config.preset = "debug"
    config.trainable = "all"
    config.batch, config.frames, config.height, config.width = 16, 4, 16, 16
    return config.lock()


def test_what_is_planned_is_what_runs(config: ConfigDict, tmp_path: Path, monkeypatch):
    """The step is called with arrays of the shapes that are planned."""
    config = config.unlock()
    config.batch = 1
    seen = {}

    class StoppedError(Exception):
        pass

    def loop(step, state, frozen, data, **options):
        seen["state"], seen["frozen"], seen["batch"] = state, frozen, next(data)
        raise StoppedError

    monkeypatch.setattr(run.loop, "run", loop)
    monkeypatch.setattr(run, "device_mesh", lambda sizes: device_mesh({}, jax.devices()[:1]))
    with pytest.raises(StoppedError):
        run.train(config, tmp_path)

    state, frozen, batch = training.step_of(config, jax.devices()[:1]).arguments
    for planned, real in ((state, seen["state"]), (frozen, seen["frozen"])):
        planned, real = jax.tree.leaves_with_path(planned), jax.tree.leaves_with_path(real)
        assert [(path, x.shape, x.dtype) for path, x in planned] == [
            (path, x.shape, x.dtype) for path, x in real
        ]
    for name, x in batch.items():
        assert (x.shape, x.dtype) == (seen["batch"][name].shape, seen["batch"][name].dtype), name
    assert isinstance(state, TrainState)


def test_an_abstract_task_allocates_nothing(config: ConfigDict):
    mesh = device_mesh({"data": 1}, jax.devices()[:1])
    task = task_of(config, mesh, abstract=True)
    arrays = jax.tree.leaves((task.params, dict(task.frozen)))
    assert arrays and all(isinstance(x, jax.ShapeDtypeStruct) for x in arrays)


def test_the_state_is_split_over_fsdp(config: ConfigDict, no_wheels: None):
    config = config.unlock()
    whole = training.step_of(config, find_topology("v5e-8").devices)
    config.mesh.fsdp = 8
    split = training.step_of(config, find_topology("v5e-8").devices)

    sizes = [training.shard_bytes(each.arguments[0]) for each in (whole, split)]
    assert sizes[1] < 0.9 * sizes[0]  # small arrays stay whole, and most of these are
    assert whole.parts == split.parts == 8


def test_without_wheels(
    config: ConfigDict, no_wheels: None, tmp_path: Path, capsys: pytest.CaptureFixture
):
    config = config.unlock()
    config.accumulate = 4
    path = tmp_path / "plan.json"

    assert command.plan_train(config, {"plan": "v5p-16", "plan_json": str(path)}) == 0
    facts = json.loads(path.read_text())
    assert list(facts["programs"]) == ["step"] and facts["main_program"] == "step"
    hours = facts["chip_hours"]
    step = facts["step_seconds_estimate"] * 8 / 3600
    assert hours["update"] == pytest.approx(4 * step)
    assert hours["run"] == pytest.approx(config.steps * step)
    assert "epoch" not in hours  # synthetic clips have no end
    assert "NOT COMPILED" in capsys.readouterr().out


def _facts(config: ConfigDict, temporary: int, limit: float) -> ProgramStats:
    """Of a step with these temporaries, where there is room for so many bytes beside its state."""
    devices = find_topology("v5e-8").devices
    state = training.shard_bytes(training.step_of(config, devices).arguments)
    return ProgramStats(
        name="step", compiled=True, argument_bytes=state, temporary_bytes=temporary,
        resident_bytes=0, limit_bytes=round((state + limit) / SLACK) + 1, flops=1,
        flops_per_chip=1, memory_traffic=1, collectives={}, unknown_loops=0, compile_seconds=1,
        step_seconds_estimate=1, calls=1,
    )  # fmt: skip


def test_a_wider_fsdp_where_a_little_is_missing(config: ConfigDict, no_wheels: None):
    devices = find_topology("v5e-8").devices
    split = config.copy_and_resolve_references().unlock()
    split.mesh.fsdp = 8
    saved = _facts(config, 0, 0).argument_bytes - _facts(split, 0, 0).argument_bytes
    facts = _facts(config, 2**30, 2**30 - saved)

    (change,) = training._wider_fsdp(config, facts, devices)
    assert change.ask == "--config.mesh.fsdp=8 --config.mesh.data=1"
    assert change.bytes_per_chip == facts.bytes_per_chip - saved


def test_fewer_examples_at_a_time(config: ConfigDict, no_wheels: None):
    facts = _facts(config, 2**30, 0.6 * 2**30)
    (change,) = training._smaller_batch(config, facts, find_topology("v5e-8").devices)
    assert change.ask.startswith("--config.batch=8 --config.accumulate=2 --config.steps=2000")
    assert change.bytes_per_chip == facts.argument_bytes + 2**29


def test_a_step_that_does_not_fit_is_told_remat(
    config: ConfigDict, no_wheels: None, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setattr(training, "_activations", lambda c, _: 3 if c.remat == "blocks" else 10)
    facts = _facts(config, 2**30, 0.4 * 2**30)
    monkeypatch.setattr(training, "plan_program", lambda program, topology, **_: facts)

    assert command.plan_train(config, {"plan": "v5e-8", "plan_json": ""}) == 1
    out = capsys.readouterr().out
    assert "DOES NOT FIT" in out
    assert "Smallest change: --config.remat=blocks (" in out and "30%" in out


def test_remat_keeps_less(config: ConfigDict, no_wheels: None):
    devices = find_topology("v5e-8").devices
    config = config.unlock()
    config.batch = 8
    everything = training._activations(config, devices)
    config.remat = "blocks"
    assert training._activations(config, devices) < 0.9 * everything


def test_a_mesh_that_does_not_suit_the_chips(config: ConfigDict, no_wheels: None):
    config = config.unlock()
    config.mesh.fsdp = 3
    with pytest.raises(InputError, match="mesh"):
        training.plan_training(config, find_topology("v5e-8"))


def test_exit_codes_of_the_command_line(capsys: pytest.CaptureFixture):
    main = runpy.run_path(str(ROOT / "train.py"))["main"]

    assert main(["--plan=h100-3"]) == 2
    assert "h100-4" in capsys.readouterr().err
    assert main(["--plan=v5e-8", "--config.batch=3"]) == 2
    assert "batch 3" in capsys.readouterr().err
    assert main(["--plan_json=x"]) == 2
    assert "--plan=TOPOLOGY" in capsys.readouterr().err
