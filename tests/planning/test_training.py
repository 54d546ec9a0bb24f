"""Plans of a training."""

import dataclasses
import json
import runpy
from pathlib import Path

import jax
import pytest
from ml_collections import ConfigDict

from venhancer_jax.errors import InputError
from venhancer_jax.planning import command, training
from venhancer_jax.planning.topology import find_topology
from venhancer_jax.sharding.params import training_mesh
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
    monkeypatch.setattr(run, "training_mesh", lambda sizes: training_mesh({}, jax.devices()[:1]))
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
    mesh = training_mesh({"data": 1}, jax.devices()[:1])
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


def test_what_does_not_fit_is_told_with_ways_out(config: ConfigDict, no_wheels: None):
    topology = find_topology("v5e-8")
    facts = training.plan_training(config, topology).programs["step"]

    def changes(room: float) -> list[str]:
        limited = dataclasses.replace(facts, limit_bytes=round(room))
        return [change.ask for change in training._changes(config, limited, topology)]

    # A little is missing: the shards of the state give it.
    split = config.copy_and_resolve_references().unlock()
    split.mesh.fsdp = 8
    state = training.shard_bytes(training.step_of(split, topology.devices).arguments)
    room = (state + facts.temporary_bytes) / training.SLACK + 1
    assert changes(room)[0].startswith("--config.mesh.fsdp=8 --config.mesh.data=1")
    # Half of the intermediates: remat, or half of the batch.
    asked = changes(facts.argument_bytes + 0.6 * facts.temporary_bytes)
    assert any(ask.startswith("--config.remat=blocks") for ask in asked)
    assert any(ask.startswith("--config.batch=8 --config.accumulate=2") for ask in asked)


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
