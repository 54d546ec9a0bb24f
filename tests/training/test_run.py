"""Whole runs on synthetic clips: resumed, interrupted, over several devices."""

import json
import os
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

import train as command
from venhancer_jax.errors import InputError
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.training import run
from venhancer_jax.training.config import training_config
from venhancer_jax.training.state import TrainState


def _config(**changes) -> ConfigDict:
    config = training_config()
    config.preset = "debug"
    config.batch, config.frames, config.height, config.width = 1, 3, 16, 16
    config.steps, config.warmup_steps, config.log_every, config.save_every = 4, 1, 1, 2
    config.learning_rate, config.dtype = 1e-3, "float32"
    config.update(changes)
    return config


def _same(a: TrainState, b: TrainState) -> bool:
    return jax.tree.all(jax.tree.map(jnp.array_equal, a, b))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainState:
    return run.train(_config(), tmp_path_factory.mktemp("whole"))


def test_resumed_run_equals_a_whole_one(whole: TrainState, tmp_path: Path):
    run.train(_config(steps=2), tmp_path)
    resumed = run.train(_config(), tmp_path)

    assert _same(resumed, whole)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


def test_sigterm_saves_and_the_next_run_goes_on(
    whole: TrainState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data = run._data

    class Ending:
        """Batches that bring a SIGTERM with the third."""

        def __init__(self, config: ConfigDict):
            self._stream = iter(data(config))
            self._given = 0

        def __iter__(self):
            return self

        def __next__(self):
            self._given += 1
            if self._given == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return next(self._stream)

        def get_state(self):
            return self._stream.get_state()

        def set_state(self, state):
            self._stream.set_state(state)

    monkeypatch.setattr(run, "_data", Ending)
    stopped = run.train(_config(save_every=100), tmp_path)
    monkeypatch.setattr(run, "_data", data)
    resumed = run.train(_config(save_every=100), tmp_path)

    assert int(stopped.step) == 3
    assert _same(resumed, whole)


def test_wrong_values_are_named(tmp_path: Path):
    for changes, words in (
        ({"preset": "big"}, "preset 'big'"),
        ({"trainable": "unet"}, "trainable 'unet'"),
        ({"data": "nowhere"}, "data 'nowhere'"),
        ({"mesh": {"data": 3, "fsdp": 1, "context": 1}}, "mesh"),
    ):
        with pytest.raises(InputError, match=words):
            run.train(_config(**changes), tmp_path)


def test_command_line_wants_a_workdir(capsys: pytest.CaptureFixture[str]):
    assert command.main([]) == 2
    assert "--workdir" in capsys.readouterr().err


def test_a_mesh_takes_the_rest():
    assert dict(device_mesh({"data": -1, "fsdp": 1}).shape) == {
        "data": jax.device_count(),
        "fsdp": 1,
        "context": 1,
        "rows": 1,
    }
