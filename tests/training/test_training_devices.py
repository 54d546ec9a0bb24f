"""Training on four devices equals training on one, and each device does its share."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from etils import epath
from training import four_devices
from training.forked import start
from training.four_devices import STEPS, TOY_MESHES
from training.tiny import batch, tiny_config
from training.toy import train_toy

from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.training.tasks import Task, task_of
from venhancer_jax.training.validation import Validation
from venhancer_jax.video.reading.probe import probe
from venhancer_jax.video.reading.read import read_frames

TIMEOUT = 600
# A process, and the folder of its results.
Started = tuple[ForkServerProcess, Path]
# Losses, and the average of the parameters.
Toy = tuple[list[float], dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def process(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Starts the process with four devices, which works beside the tests of one."""
    folder = tmp_path_factory.mktemp("four")
    with _started(four_devices.quick_checks, tiny_weights, folder) as process:
        yield process


@pytest.fixture(scope="module")
def network_process(
    tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Started]:
    with _started(
        four_devices.network_steps, tiny_weights, tmp_path_factory.mktemp("network")
    ) as process:
        yield process


@contextlib.contextmanager
def _started(function: Callable, weights: Path, folder: Path) -> Iterator[Started]:
    process = start(folder / "output.txt", function, weights, folder, devices=4)
    try:
        yield process, folder
    finally:
        process.kill()
        process.join()


def _results(process: Started, part: str) -> dict[str, Any]:
    """Waits for the results of a part."""
    path = process[1] / f"{part}.npz"
    while not path.exists():
        if not process[0].is_alive() and not path.exists():
            raise AssertionError((process[1] / "output.txt").read_text())
        time.sleep(0.1)
    assert "rematerialization" not in (process[1] / "output.txt").read_text()
    with np.load(path) as file:
        return dict(file)


@pytest.fixture(scope="module")
def toy_on_one(process: Started, tmp_path_factory: pytest.TempPathFactory) -> Toy:
    del process  # starts first
    folder = tmp_path_factory.mktemp("one")
    state = train_toy(folder, steps=STEPS)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    return losses, {name: np.asarray(x) for name, x in state.ema.items()}


def test_a_mesh_trains_as_one_device(toy_on_one: Toy, process: Started):
    on_four, (losses, average) = _results(process, "toy"), toy_on_one
    np.testing.assert_allclose(on_four["losses"], losses, rtol=0, atol=1e-5)
    for name, x in average.items():
        np.testing.assert_allclose(on_four[f"ema/{name}"], x, rtol=0, atol=1e-5)
    assert on_four["sharded"] > 0


@pytest.mark.parametrize("mesh", TOY_MESHES)
def test_each_device_works_on_its_share_of_the_batch(mesh: str, process: Started):
    on_four = _results(process, "toy")
    assert on_four[f"{mesh}/examples"] == on_four["1x1/examples"] / 4
    assert on_four[f"{mesh}/flops"] < 0.35 * on_four["1x1/flops"]


@pytest.mark.slow
def test_a_real_network_starts_with_the_loss_of_one_device(
    tiny_task: Task, tiny_loss: Callable[..., float], network_process: Started
):
    on_four = _results(network_process, "tiny")
    loss = tiny_loss(tiny_task.params)

    assert on_four["losses"][0] == pytest.approx(loss, rel=1e-5)
    assert on_four["sharded"] > 5


@pytest.mark.slow
def test_a_resumed_real_network_is_bit_equal(network_process: Started):
    on_four = _results(network_process, "tiny")
    _, second, again = on_four["losses"]

    assert again == second
    assert on_four["resumed"]


def test_pictures_are_sampled_with_sharded_parameters(process: Started, tiny_weights: Path):
    on_four = _results(process, "pictures")
    folder = process[1] / "one"
    _write_pictures(tiny_weights, "autoencoder", folder)

    assert on_four["sharded"] > 0
    files = [f / "0" / "00.png" for f in (folder, process[1] / "samples")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.slow
def test_the_denoiser_is_sampled_with_sharded_parameters(tiny_weights: Path, tmp_path: Path):
    process = start(
        tmp_path / "output.txt", four_devices.denoised_pictures, tiny_weights, tmp_path, devices=4
    )
    process.join(TIMEOUT)
    assert process.exitcode == 0, (tmp_path / "output.txt").read_text()
    _write_pictures(tiny_weights, "one_step", tmp_path / "one")

    with np.load(tmp_path / "pictures.npz") as file:
        assert file["sharded"] > 0
    one, four = (
        np.stack([*read_frames(probe(tmp_path / folder / "0" / "00.mp4"))]).astype(int)
        for folder in ("one", "samples")
    )
    assert np.abs(one - four).max() <= 1


def _write_pictures(weights: Path, objective: str, folder: Path) -> None:
    config = tiny_config(weights, {"objective": objective})
    mesh = device_mesh({}, jax.devices()[:1])
    task = task_of(config, mesh)
    validation = Validation(
        task,
        iter([batch(0)]),  # pyright: ignore[reportArgumentType]
        mesh=mesh,
        clips=1,
        batch=4,
        seed=0,
        steps=1,
        folder=epath.Path(folder),
    )
    validation.sample(task.params, 0, None)
