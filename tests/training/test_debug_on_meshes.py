"""One step of the `debug` network on one device, on meshes of many, and in several processes.

Runs of the same step differ by rounding, as sums over examples and devices are taken in another
order. What is bounded here:

* the loss: within 1e-5;
* the gradient: its difference within 1e-5 of its own size, both in the L2 norm over all parameters
  together (found: up to 2e-6);
* the parameters after the step: within 1e-5 wherever the gradient is more than 1e-6 of its norm.
  Elsewhere they are within two learning rates, and so few that no more than 1 in 10,000 is beyond
  1e-5: Adam divides a gradient by its own size, so the first step of one that is zero but for
  rounding is a sign that nothing determines. With plain descent these would differ by 1e-10;
* frozen parameters: bit-equal.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from training.debug_network import LEARNING_RATE, write_prior
from training.on_devices import finish, start, start_together

from venhancer_jax.weights import iterate_weights

# Devices along data and fsdp.
MESHES = {"8x1": (8, 1), "4x2": (4, 2), "2x4": (2, 4)}
TIMEOUT = 1800

Arrays = dict[str, np.ndarray]

pytestmark = pytest.mark.slow


def _changes(prior: Path, data: int, fsdp: int, trainable: str = "all") -> dict[str, int | str]:
    sizes = {"mesh__data": data, "mesh__fsdp": fsdp}
    return sizes | {"trainable": trainable, "prior": str(prior)}


def _loss(workdir: Path) -> float:
    (line,) = (workdir / "metrics.jsonl").read_text().splitlines()
    return json.loads(line)["loss"]


def _part(result: Path, part: str, run: int = 0) -> Arrays:
    """`params`, `optimizer` or `frozen` after a run, by name."""
    start = f"{run}/{part}/"
    with np.load(result) as file:
        found = {name.removeprefix(start): file[name] for name in file if name.startswith(start)}
    assert found
    return found


def _gradient(result: Path, run: int) -> dict[str, np.ndarray]:
    """Adam's first moment after one step, a tenth of the gradient."""
    parts = _part(result, "optimizer", run).items()
    return {name.split("/mu/")[1]: 10 * x.astype(np.float64) for name, x in parts if "/mu/" in name}


def _flat(arrays: Arrays) -> np.ndarray:
    return np.concatenate([arrays[name].ravel() for name in sorted(arrays)])


def _assert_same_step(result: Path, run: int, wanted: Path) -> None:
    ours, theirs = _gradient(result, run), _gradient(wanted, 0)
    assert ours.keys() == theirs.keys()
    assert all(np.any(x) for x in theirs.values())
    gradient, norm = _flat(theirs), np.linalg.norm(_flat(theirs))
    relative = np.linalg.norm(_flat(ours) - gradient) / norm
    params = _part(result, "params", run), _part(wanted, "params")
    apart = np.abs(_flat(params[0]) - _flat(params[1]))
    sure = np.abs(gradient) > 1e-6 * norm
    print(
        f"{result.stem} {run}: gradient {relative:.1e}, parameters {apart[sure].max():.1e} where"
        f" the gradient is sure ({sure.mean():.2%}), elsewhere {apart.max():.1e},"
        f" {np.sum(apart > 1e-5)} of {apart.size} beyond 1e-5"
    )
    assert relative < 1e-5
    assert sure.mean() > 0.9
    assert apart[sure].max() < 1e-5
    assert apart.max() < 2.1 * LEARNING_RATE
    assert np.mean(apart > 1e-5) < 1e-4

    ours, theirs = _part(result, "frozen", run), _part(wanted, "frozen")
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], x) for name, x in theirs.items())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("debug")


@pytest.fixture(scope="module")
def prior(folder: Path) -> Path:
    write_prior(folder / "prior")
    return folder / "prior"


@pytest.fixture(scope="module")
def on_one(folder: Path, prior: Path) -> Path:
    run = folder / "one", _changes(prior, 1, 1)
    finish(start(folder / "one.npz", [run], devices=1, task="debug"), timeout=TIMEOUT)
    return folder / "one.npz"


@pytest.fixture(scope="module")
def on_eight(folder: Path, prior: Path) -> Path:
    """The results of a run on each mesh, one after the other."""
    runs = [(folder / name, _changes(prior, *mesh)) for name, mesh in MESHES.items()]
    process = start(folder / "eight.npz", runs, devices=8, task="debug", cached=False)
    (output,) = finish(process, timeout=TIMEOUT)
    assert "rematerialization" not in output
    return folder / "eight.npz"


@pytest.mark.parametrize("number", range(len(MESHES)), ids=list(MESHES))
def test_a_mesh_takes_the_step_of_one_device(
    number: int, folder: Path, on_one: Path, on_eight: Path
):
    losses = _loss(folder / [*MESHES][number]), _loss(folder / "one")

    assert losses[0] == pytest.approx(losses[1], rel=0, abs=1e-5)
    _assert_same_step(on_eight, number, on_one)
    with np.load(on_eight) as file:
        assert (file[f"{number}/split"] > 0) == (number > 0)


def test_checkpoint_of_eight_devices_is_restored_on_two(folder: Path, prior: Path, on_eight: Path):
    run = folder / "2x4", _changes(prior, 1, 2)
    process = start(folder / "two.npz", [run], devices=2, task="debug")
    (output,) = finish(process, timeout=TIMEOUT)

    assert "resumed at step 1" in output
    for part in ("params", "ema", "optimizer", "frozen"):
        saved, restored = _part(on_eight, part, 2), _part(folder / "two.npz", part)
        assert restored.keys() == saved.keys()
        assert all(np.array_equal(restored[name], x) for name, x in saved.items())


def test_two_processes_take_the_step_of_one(folder: Path, prior: Path, on_one: Path):
    results = [folder / "first.npz", folder / "second.npz"]
    run = folder / "pair", _changes(prior, 1, 2)
    processes = start_together(results, [run], devices=1, task="debug", cached=False)
    outputs = finish(*processes, timeout=TIMEOUT)

    assert not any("rematerialization" in output for output in outputs)
    assert _loss(folder / "pair") == pytest.approx(_loss(folder / "one"), rel=0, abs=1e-5)
    for result in results:
        _assert_same_step(result, 0, on_one)


def test_controlnet_trains_on_a_mesh_beside_a_frozen_split_unet(folder: Path, prior: Path):
    results = [folder / "one-controlnet.npz", folder / "2x4-controlnet.npz"]
    for result, mesh in zip(results, [(1, 1), (2, 4)], strict=True):
        run = folder / result.stem, _changes(prior, *mesh, "controlnet")
        process = start(result, [run], devices=math.prod(mesh), task="debug", cached=False)
        (output,) = finish(process, timeout=TIMEOUT)
        assert "rematerialization" not in output

    losses = [_loss(folder / result.stem) for result in results]
    assert losses[1] == pytest.approx(losses[0], rel=0, abs=1e-5)
    _assert_same_step(results[1], 0, results[0])
    written = dict(iterate_weights(prior))
    frozen = _part(results[1], "frozen/denoiser")
    assert frozen.keys() == {name for name in written if name.startswith("unet.")}
    assert all(np.array_equal(x, written[name]) for name, x in frozen.items())
