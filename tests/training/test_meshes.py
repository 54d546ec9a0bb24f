"""The same run on one device, on meshes of many, and in several processes.

`test_training_devices.py` and `test_run.py` are the quick ones of these.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training.on_devices import finish, start, start_together
from training.toy import train_toy

MESHES = {
    "8x1": {"mesh__data": 8, "mesh__fsdp": 1},
    "4x2": {"mesh__data": 4, "mesh__fsdp": 2},
    "2x4": {"mesh__data": 2, "mesh__fsdp": 4},
}
STEPS = 4

pytestmark = pytest.mark.slow
PAIR = {"mesh__data": 2, "mesh__fsdp": 2}


def _losses(workdir: Path) -> list[float]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def _average(result: Path, run: int = 0) -> dict[str, np.ndarray]:
    with np.load(result) as file:
        start = f"{run}/ema/"
        return {name.removeprefix(start): file[name] for name in file if name.startswith(start)}


def _fact(result: Path, name: str, run: int = 0) -> int:
    with np.load(result) as file:
        return int(file[f"{run}/{name}"])


def _close(a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    assert a.keys() == b.keys() and len(a) > 0
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=0, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("devices")


@pytest.fixture(scope="module")
def on_one(folder: Path) -> dict[str, np.ndarray]:
    state = train_toy(folder / "one", steps=STEPS)
    return {name: np.asarray(x) for name, x in state.ema.items()}


@pytest.fixture(scope="module")
def on_eight(folder: Path) -> Path:
    """The results of a run on each mesh, one after the other."""
    runs = [(folder / name, mesh | {"steps": STEPS}) for name, mesh in MESHES.items()]
    (output,) = finish(start(folder / "eight.npz", runs, devices=8, cached=False))
    assert "rematerialization" not in output
    return folder / "eight.npz"


@pytest.mark.parametrize("number", range(len(MESHES)), ids=list(MESHES))
def test_a_mesh_trains_as_one_device(
    number: int, folder: Path, on_one: dict[str, np.ndarray], on_eight: Path
):
    np.testing.assert_allclose(
        _losses(folder / [*MESHES][number]), _losses(folder / "one"), rtol=0, atol=1e-5
    )
    _close(_average(on_eight, number), on_one)
    # The kernel behind the frozen layer is large enough to be split.
    assert _fact(on_eight, "split", number) == (number > 0)


def test_checkpoint_of_eight_devices_goes_on_with_two(folder: Path, on_eight: Path):
    changes = {"mesh__data": 1, "mesh__fsdp": 2, "steps": STEPS}
    (output,) = finish(start(folder / "two.npz", [(folder / "2x4", changes)], devices=2))

    assert f"resumed at step {STEPS}" in output
    assert _fact(folder / "two.npz", "split") == 1
    saved, restored = _average(on_eight, 2), _average(folder / "two.npz")
    assert all(np.array_equal(restored[name], x) for name, x in saved.items())


@pytest.fixture(scope="module")
def pair(folder: Path) -> Path:
    """The folder of a run of two processes, stopped half-way."""
    results = [folder / "half-first.npz", folder / "half-second.npz"]
    finish(*start_together(results, [(folder / "pair", PAIR | {"steps": 2})], devices=2))
    return folder / "pair"


def test_two_processes_train_as_one(folder: Path, on_one: dict[str, np.ndarray], pair: Path):
    results = [folder / "first.npz", folder / "second.npz"]
    run = shutil.copytree(pair, folder / "pair-on")
    # Each finds its own examples again.
    outputs = finish(*start_together(results, [(run, PAIR | {"steps": STEPS})], devices=2))

    np.testing.assert_allclose(_losses(run), _losses(folder / "one"), rtol=0, atol=1e-5)
    for result in results:
        _close(_average(result), on_one)
        assert _fact(result, "split") == 1
    assert ["resumed at step 2" in output for output in outputs] == [True, False]
    assert ["step 4/4" in output for output in outputs] == [True, False]
    assert (run / "weights" / "weights.json").exists()


def test_one_process_goes_on_where_two_stopped(
    folder: Path, on_one: dict[str, np.ndarray], pair: Path
):
    run = shutil.copytree(pair, folder / "alone")
    state = train_toy(run, steps=STEPS)

    np.testing.assert_allclose(_losses(run), _losses(folder / "one"), rtol=0, atol=1e-5)
    _close(state.ema, on_one)
