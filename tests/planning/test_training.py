"""Plans of a training."""

import dataclasses
import json
from pathlib import Path

import jax
import pytest
from ml_collections import ConfigDict
from planning.tiny import NETWORKS, V5E, needs_libtpu

from venhancer_jax.cli import plan_flags as command
from venhancer_jax.cli import train
from venhancer_jax.configs import train_venhancer
from venhancer_jax.errors import InputError
from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.pipelines.registry import find_system
from venhancer_jax.planning import training
from venhancer_jax.planning.program import ProgramStats
from venhancer_jax.planning.suggestions import SLACK
from venhancer_jax.planning.topology import Topology, fake_devices
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.sharding.params import shard_bytes
from venhancer_jax.training import run
from venhancer_jax.training.config import training_config
from venhancer_jax.training.state import TrainState
from venhancer_jax.training.tasks import task_of

CHIPS = fake_devices(8, V5E, "tpu")
EIGHT = Topology("v5e-8", V5E, CHIPS, "tpu")
LARGEST = Topology("v5e-256", V5E, fake_devices(256, V5E, "tpu"), "tpu")


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> ConfigDict:
    unet = dataclasses.replace(NETWORKS["venhancer"], width=128)  # wide enough to be sharded
    networks = NETWORKS | {"venhancer": unet, "text": NullTextConfig(width=unet.context_width)}
    monkeypatch.setitem(find_system("venhancer").presets, "debug", networks)
    config = training_config()
    config.preset = "debug"
    config.trainable = "all"
    config.batch, config.frames, config.height, config.width = 16, 4, 16, 16
    return config.lock()


@pytest.mark.parametrize(
    "objective", ["autoencoder", pytest.param("diffusion", marks=pytest.mark.slow)]
)
def test_what_is_planned_is_what_runs(
    objective: str, config: ConfigDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The step is called with arrays of the shapes that are planned."""
    config = config.unlock()
    config.batch, config.objective = 1, objective
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

    state, frozen, batch = training.step_spec(config, jax.devices()[:1]).arguments
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


@pytest.mark.usefixtures("config")  # whose networks are least
@pytest.mark.parametrize("frames", [None, 9])
def test_frames_are_those_of_the_config(frames: int | None):
    config = train_venhancer.get_config().unlock()
    config.preset = "debug"
    config.frames = frames or config.frames
    video = training.step_spec(config, fake_devices(128, V5E, "tpu")).arguments[2]["video"]

    assert video.shape == (256, frames or 17, 720, 1280, 3)
    assert video.sharding.shard_shape(video.shape)[0] == 2


def test_the_state_is_split_over_fsdp(config: ConfigDict):
    config = config.unlock()
    whole = training.step_spec(config, CHIPS)
    config.mesh.fsdp = 8
    split = training.step_spec(config, CHIPS)

    sizes = [shard_bytes(each.arguments[0]) for each in (whole, split)]
    assert sizes[1] < 0.9 * sizes[0]  # small arrays stay whole, and most of these are
    assert whole.shards == split.shards == 8


def _stats(config: ConfigDict, temporary: int, room: float, devices=CHIPS) -> ProgramStats:
    """Memory of a step with these temporaries and `room` for them beside its arguments."""
    state = shard_bytes(training.step_spec(config, devices).arguments)
    return ProgramStats(
        argument_bytes=state, temporary_bytes=temporary,
        resident_bytes=0, limit_bytes=round((state + room) / SLACK) + 1, flops=1,
        flops_per_chip=1, memory_traffic=1, collectives={}, unknown_loops=0, compile_seconds=1,
        step_seconds_estimate=1, calls=1,
    )  # fmt: skip


@pytest.mark.slow
def test_a_wider_fsdp_where_a_little_is_missing(config: ConfigDict):
    split = config.copy_and_resolve_references().unlock()
    split.remat = "blocks"  # no remat is suggested
    config = split.copy_and_resolve_references()
    split.mesh.fsdp = 8
    saved = _stats(config, 0, 0).argument_bytes - _stats(split, 0, 0).argument_bytes
    stats = _stats(config, 2**30, 2**30 - saved)

    change = next(training.suggest(config, stats, EIGHT))
    assert change.ask == "--config.mesh.fsdp=8 --config.mesh.data=1"
    assert change.bytes_per_chip == stats.bytes_per_chip - saved


def test_fewer_examples_at_a_time(config: ConfigDict):
    config = config.unlock()
    config.remat = "blocks"
    stats = _stats(config, 2**30, 0.6 * 2**30)
    change = next(training.suggest(config, stats, EIGHT))
    assert change.ask == "--config.batch=8 --config.accumulate=2 --config.steps=2000"
    # Accumulated gradients take the place of the other half of the batch.
    config.batch, config.accumulate = 8, 2
    arguments = shard_bytes(training.step_spec(config, CHIPS).arguments)
    assert arguments > stats.argument_bytes
    assert change.bytes_per_chip == arguments + 2**29


def test_fewer_frames_where_nothing_else_helps(config: ConfigDict):
    config = config.unlock()
    config.remat, config.batch, config.mesh.fsdp = "blocks", 256, 256
    stats = _stats(config, 2**30, 0.6 * 2**30, LARGEST.devices)
    change, other = training.suggest(config, stats, LARGEST)
    assert change.ask == "--config.frames=2" and "chips with more memory" in other.ask


@pytest.mark.slow  # minutes of compiling for TPUs
@needs_libtpu
def test_a_plan_of_a_step(config: ConfigDict, tmp_path: Path):
    config = config.unlock()
    config.accumulate = 4
    path = tmp_path / "plan.json"
    assert command.plan_train(config, {"plan": "v5e-8", "plan_json": str(path)}) == 0
    plan = json.loads(path.read_text())
    assert list(plan["programs"]) == ["step"] and plan["main_program"] == "step"
    step = plan["step_seconds_estimate"] * 8 / 3600
    assert plan["chip_hours"]["update"] == pytest.approx(4 * step)
    assert plan["chip_hours"]["run"] == pytest.approx(config.steps * step)
    assert "epoch" not in plan["chip_hours"]  # synthetic clips have no end


def test_a_mesh_that_does_not_suit_the_chips(config: ConfigDict):
    config = config.unlock()
    config.mesh.fsdp = 3
    with pytest.raises(InputError, match="mesh"):
        training.plan_training(config, EIGHT)


def test_exit_codes_of_the_command_line(capsys: pytest.CaptureFixture):
    assert train.main(["--plan=h100-3"]) == 2
    assert "h100-4" in capsys.readouterr().err
    assert train.main(["--plan=v5e-8", "--config.batch=3"]) == 2
    assert "batch 3" in capsys.readouterr().err
    assert train.main(["--plan_json=x"]) == 2
    assert "--plan=TOPOLOGY" in capsys.readouterr().err
