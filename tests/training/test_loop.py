"""What a run leaves behind, on a task that compiles in a second."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto import event_pb2
from training.toy import toy_task, train_toy

from venhancer_jax.errors import InputError
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.training.metrics import MetricsWriter
from venhancer_jax.training.state import TrainState
from venhancer_jax.weights import iterate_weights

# What a clock says.
TIMES = {"step_seconds", "data_wait_share", "clips_per_second", "tflops_per_device"}


def _records(workdir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def _untimed(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: x for name, x in r.items() if name not in TIMES} for r in records]


def _events(workdir: Path) -> dict[str, dict[int, Any]]:
    """By tag and step: the scalar, or the bytes of the picture."""
    found: dict[str, dict[int, Any]] = {}
    for file in sorted((workdir / "tensorboard").iterdir()):
        data, at = file.read_bytes(), 0
        while at < len(data):  # length, its checksum, the event, its checksum
            length = int.from_bytes(data[at : at + 8], "little")
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            at += length + 16
            for value in event.summary.value:
                which = value.WhichOneof("value")
                content = value.image.encoded_image_string if which == "image" else None
                found.setdefault(value.tag, {})[event.step] = content or value.simple_value
    return found


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def whole(workdir: Path) -> TrainState:
    return train_toy(workdir, validate_every=2, validate_data="synthetic", validate_clips=9)


def test_resumed_run_writes_the_metrics_of_a_whole_one(
    whole: TrainState, workdir: Path, tmp_path: Path
):
    changes = {"validate_every": 2, "validate_data": "synthetic", "validate_clips": 9}
    train_toy(tmp_path, steps=3, save_every=2, **changes)
    # As if it had been killed after step 3 but before the save that an end brings.
    (tmp_path / "checkpoints" / "3").rename(tmp_path / "lost")
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    resumed = train_toy(tmp_path, **changes)

    assert jax.tree.all(jax.tree.map(jnp.array_equal, resumed, whole))
    records = _records(tmp_path)
    assert [r["step"] for r in records] == [1, 2, 3, 4]
    last = _untimed(_records(workdir))
    assert _untimed(records)[:2] == last[:2]
    assert {**_untimed(records)[3]} == last[3]


def test_tensorboard_has_every_number(whole: TrainState, workdir: Path):
    del whole
    events = _events(workdir)
    for record in _records(workdir):
        for name, value in record.items():
            if name == "step":
                continue
            numbers = {name: value}
            if isinstance(value, list):
                numbers = {f"{name}/{i}": x for i, x in enumerate(value)}
            for tag, number in numbers.items():
                assert np.float32(number) == events[tag][record["step"]], tag
    assert "loss_by_time/1" in events


def test_validation_is_of_the_average_and_always_the_same(
    whole: TrainState, workdir: Path, tmp_path: Path
):
    del whole
    records = _records(workdir)
    assert ["validation_loss" in r for r in records] == [False, True, False, True]
    assert records[1]["validation_loss"] != records[3]["validation_loss"]
    assert len(records[1]["validation_loss_by_time"]) == 2

    # The average and the parameters are the same where nothing is learned.
    changes = {"validate_every": 1, "validate_data": "synthetic", "learning_rate": 0.0}
    train_toy(tmp_path, steps=2, ema_decay=0.9, **changes)
    still = _records(tmp_path)
    assert still[0]["validation_loss"] == still[1]["validation_loss"]
    assert still[0]["loss"] != still[1]["loss"]


def test_frozen_parameters_stay_and_are_written(whole: TrainState, workdir: Path):
    from training.toy import toy_config

    start = toy_task(toy_config({}), device_mesh({"data": -1, "fsdp": 1}))
    written = dict(iterate_weights(workdir / "weights"))

    assert written.keys() == start.params.keys() | start.frozen["denoiser"].keys()
    for name, x in start.frozen["denoiser"].items():
        assert np.array_equal(written[name], x), name
    for name, x in whole.ema.items():
        assert np.array_equal(written[name], x), name
        assert not np.array_equal(written[name], start.params[name]), name


def test_profile_of_some_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls = []
    start, stop = jax.profiler.start_trace, jax.profiler.stop_trace

    def note(what: str) -> None:
        calls.append((what, len(_records(tmp_path))))

    monkeypatch.setattr(jax.profiler, "start_trace", lambda f: (note("on"), start(f)))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: (note("off"), stop()))
    train_toy(tmp_path, profile_from=2, profile_steps=2)

    # Of the second and the third step: when it ends, two of the four have been told.
    assert calls == [("on", 1), ("off", 2)]
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path):
    with pytest.raises(InputError, match="learning_rate nan"):
        train_toy(tmp_path, learning_rate=float("nan"))


def test_batches_that_do_not_fit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from venhancer_jax.training.step import check_batch

    class Mesh:
        shape = {"data": 2, "fsdp": 4, "context": 1}  # noqa: RUF012

    with pytest.raises(InputError, match="batch 12: expected a multiple of 8"):
        check_batch(12, Mesh())  # pyright: ignore
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    with pytest.raises(InputError, match="multiple of the 3 processes"):
        check_batch(24, Mesh())  # pyright: ignore


def test_lines_after_the_restored_step_are_dropped(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 1.5}\n{"step": 3, "loss": 0.5}\n{"step": 4, "lo')
    writer = MetricsWriter(tmp_path, after=2)
    writer.write(3, {"loss": 0.25})
    writer.close()

    assert path.read_text() == '{"step": 1, "loss": 1.5}\n{"step": 3, "loss": 0.25}\n'
    assert {f.name for f in tmp_path.iterdir()} == {"metrics.jsonl", "tensorboard"}


def test_share_of_the_peak_is_told_where_it_is_known(
    whole: TrainState, workdir: Path, tmp_path: Path
):
    del whole
    assert "mfu" not in _records(workdir)[0]
    train_toy(tmp_path, steps=1, peak_tflops=2.0)
    record = _records(tmp_path)[0]
    assert record["mfu"] == pytest.approx(record["tflops_per_device"] / 2)
