"""Runs from the command line: wrong input, signals, numbers that break, settings that change."""

import json
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import forked, toy_run
from training.toy import train_toy

from venhancer_jax.cli import train as command
from venhancer_jax.errors import InputError
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.training import run
from venhancer_jax.training.checkpoints import fingerprints
from venhancer_jax.training.config import checked_config, training_config
from venhancer_jax.training.state import TrainState

ROOT = Path(__file__).parents[2]
ENDLESS = ["--config.steps=1000000"]


def _arguments(workdir: Path, *more: str) -> list[str]:
    return [f"--config={toy_run.__file__}", f"--workdir={workdir}", *more]


def _same(a: TrainState, b: TrainState) -> bool:
    return jax.tree.all(jax.tree.map(jnp.array_equal, a, b))


def _records(workdir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def _wait_for_steps(workdir: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if (workdir / "metrics.jsonl").exists() and len(_records(workdir)) >= 2:
            return
        time.sleep(0.05)


def _assert_resumes(workdir: Path, step: int, other: Path) -> None:
    """The run that stopped at this step ends as one that never stopped."""
    resumed = train_toy(workdir, steps=step + 2, save_every=10**6)
    whole = train_toy(other, steps=step + 2, save_every=10**6)
    assert int(resumed.step) == step + 2
    assert _same(resumed, whole)
    assert [r["step"] for r in _records(workdir)] == [*range(1, step + 3)]


def test_sigterm_saves_and_asks_to_be_started_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def stop() -> None:
        _wait_for_steps(tmp_path / "run")
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    code = command.main(_arguments(tmp_path / "run", *ENDLESS))
    thread.join()

    assert code == 75
    stopped = re.search(r"stopped by a signal, saved at step (\d+)", capsys.readouterr().out)
    assert stopped is not None
    _assert_resumes(tmp_path / "run", int(stopped[1]), tmp_path / "whole")
    # A run that is complete is done.
    steps = f"--config.steps={int(stopped[1]) + 2}"
    assert command.main(_arguments(tmp_path / "run", steps)) == 0


@pytest.mark.slow
def test_two_processes_stop_together_and_one_resumes(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    joined = [f"--config.coordinator=127.0.0.1:{port}", "--config.process_count=2"]
    arguments = [*_arguments(tmp_path / "run", *ENDLESS), *joined]
    files = [tmp_path / f"output_{i}.txt" for i in range(2)]
    processes = [
        forked.start(
            file, forked.run_script, ROOT / "train.py", [*arguments, f"--config.process_id={i}"]
        )
        for i, file in enumerate(files)
    ]
    try:
        _wait_for_steps(tmp_path / "run")
        processes[1].terminate()  # one of them is told
        for process in processes:
            process.join(timeout=200)
    finally:
        for process in processes:
            process.kill()

    outputs = [file.read_text() for file in files]
    assert [process.exitcode for process in processes] == [75, 75], "\n".join(outputs)
    stopped = re.search(r"stopped by a signal, saved at step (\d+)", outputs[0])
    assert stopped is not None
    step = int(stopped[1])
    assert (tmp_path / "run" / "checkpoints" / str(step) / "state").exists()
    # On one device, with sums over the batch in another order.
    resumed = train_toy(tmp_path / "run", steps=step + 2, save_every=10**6)
    whole = train_toy(tmp_path / "whole", steps=step + 2, save_every=10**6)
    for name, x in whole.ema.items():
        np.testing.assert_allclose(resumed.ema[name], x, rtol=0, atol=1e-4)


def test_steps_that_are_not_finite_are_skipped_and_counted(tmp_path: Path):
    state = train_toy(tmp_path, objective="breaks", preset="1,2", steps=6, log_every=3)

    assert int(state.updates) == 4
    assert [r["skipped_steps"] for r in _records(tmp_path)] == [2, 0]
    assert all(np.isfinite(r["loss"]) for r in _records(tmp_path))
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(state))


def test_a_run_that_stays_broken_stops_and_saves_no_broken_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    broken = ["--config.objective=breaks", "--config.preset=" + ",".join(map(str, range(2, 50)))]
    arguments = _arguments(tmp_path, *broken, *ENDLESS, "--config.max_skipped=4")

    assert command.main([*arguments, "--config.save_every=1"]) == 1
    error = capsys.readouterr().err
    assert "the last 4 steps up to step 6" in error and "Traceback" not in error
    # Every checkpoint that is left can be resumed.
    steps = sorted(int(f.name) for f in (tmp_path / "checkpoints").iterdir())
    state = train_toy(tmp_path, steps=steps[-1] + 2, save_every=10**6)
    assert int(state.updates) == 4  # two before, two after
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(state))


def test_a_line_holds_the_means_since_the_last(tmp_path: Path):
    train_toy(tmp_path / "each", steps=4)
    train_toy(tmp_path / "pairs", steps=4, log_every=2)
    each, pairs = _records(tmp_path / "each"), _records(tmp_path / "pairs")

    for i, record in enumerate(pairs):
        for name in ("loss", "gradient_norm", "update_norm", "loss_by_time"):
            mean = np.mean([r[name] for r in each[2 * i : 2 * i + 2]], axis=0)
            np.testing.assert_allclose(record[name], mean, rtol=1e-6)
    assert each[0]["loss"] != each[1]["loss"]


def test_settings_of_a_resumed_run_are_written_beside_the_first(tmp_path: Path):
    train_toy(tmp_path, steps=1)
    first = (tmp_path / "config.json").read_text()
    train_toy(tmp_path, steps=1)
    assert not (tmp_path / "config_2.json").exists()
    train_toy(tmp_path, steps=2)

    assert (tmp_path / "config.json").read_text() == first
    assert json.loads(first)["steps"] == 1
    assert json.loads((tmp_path / "config_2.json").read_text())["steps"] == 2


def test_a_run_does_not_resume_with_other_frozen_weights(tmp_path: Path):
    train_toy(tmp_path, steps=1)

    with pytest.raises(InputError, match="other frozen weights of 'denoiser'"):
        train_toy(tmp_path, steps=2, seed=1)


def test_fingerprints_see_every_bit():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    changed = x.copy()
    changed[2, 1] = np.nextafter(changed[2, 1], np.float32(100))
    arrays = [x, changed, x[:, ::-1], x.T, -x]
    found = {fingerprints({"n": {"a": jnp.asarray(each)}})["n"] for each in arrays}

    assert len(found) == len(arrays)
    assert fingerprints({"n": {"a": jnp.asarray(x)}})["n"] in found


def test_wrong_values_are_named(tmp_path: Path):
    for changes, words in (
        ({"preset": "big"}, "preset 'big'"),
        ({"trainable": "unet"}, "trainable 'unet'"),
        ({"data": "nowhere"}, "data 'nowhere'"),
        ({"mesh": {"data": 3, "fsdp": 1, "context": 1}}, "mesh"),
        ({"objective": "learning"}, "objective 'learning'"),
        ({"start": "middle"}, "start 'middle'"),
        ({"learning_rate": float("nan")}, "learning_rate nan"),
        ({"system": "none"}, "system 'none'"),
    ):
        config = training_config()
        config.update(changes)
        with pytest.raises(InputError, match=words):
            run.train(config, tmp_path)


def test_copy_prior_is_now_start():
    for copy_prior, start in ((True, "prior"), (False, "published")):
        config = training_config()
        del config.start
        config.copy_prior = copy_prior

        assert checked_config(config).start == start


def test_command_line_wants_a_workdir(capsys: pytest.CaptureFixture[str]):
    assert command.main([]) == 2
    assert "--workdir" in capsys.readouterr().err


def test_help_explains_every_setting(capsys: pytest.CaptureFixture[str]):
    assert command.main(["--help"]) == 0
    text = capsys.readouterr().out

    for key in training_config():
        assert f"--config.{key}" in text


def test_a_mesh_takes_the_rest():
    assert dict(device_mesh({"data": -1, "fsdp": 1}).shape) == {
        "data": jax.device_count(),
        "fsdp": 1,
        "context": 1,
        "rows": 1,
    }
