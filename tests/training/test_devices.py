"""Training on four devices equals training on one, and each device does its share."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from etils import epath
from training import four_devices
from training.four_devices import STEPS, TOY_MESHES
from training.tiny import batch, tiny_config
from training.toy import train_toy

from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.training.tasks import Task, task_of
from venhancer_jax.training.validation import Validation
from venhancer_jax.video.probe import probe
from venhancer_jax.video.read import read_frames

TIMEOUT = 600


@pytest.fixture(scope="module")
def process(
    tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[subprocess.Popen, Path]]:
    """Starts the process with four devices, which works beside the tests of one."""
    folder = tmp_path_factory.mktemp("four")
    process = subprocess.Popen(
        [sys.executable, four_devices.__file__, str(tiny_weights), str(folder)],
        env=four_devices.environment(4),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process, folder
    process.kill()


@pytest.fixture(scope="module")
def on_four(process: tuple[subprocess.Popen, Path]) -> dict[str, Any]:
    output = process[0].communicate(timeout=TIMEOUT)[0]
    assert process[0].returncode == 0, output
    assert "rematerialization" not in output
    with np.load(process[1] / "results.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def toy_on_one(process: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    del process  # starts first
    folder = tmp_path_factory.mktemp("one")
    state = train_toy(folder, steps=STEPS)
    return {name: np.asarray(x) for name, x in state.ema.items()}


@pytest.mark.parametrize("mesh", TOY_MESHES)
def test_a_mesh_trains_as_one_device(
    mesh: str, toy_on_one: dict[str, Any], on_four: dict[str, Any]
):
    for name, x in toy_on_one.items():
        np.testing.assert_allclose(on_four[f"toy/{mesh}/ema/{name}"], x, rtol=0, atol=1e-5)
    assert (on_four[f"toy/{mesh}/sharded"] > 0) == (TOY_MESHES[mesh][1] > 1)


@pytest.mark.parametrize("mesh", TOY_MESHES)
def test_each_device_works_on_its_share_of_the_batch(mesh: str, on_four: dict[str, Any]):
    assert on_four[f"toy/{mesh}/examples"] == on_four["toy/1x1/examples"] / 4
    assert on_four[f"toy/{mesh}/flops"] < 0.35 * on_four["toy/1x1/flops"]


def test_a_real_network_starts_with_the_loss_of_one_device(
    tiny_task: Task, tiny_loss: Callable[..., float], on_four: dict[str, Any]
):
    loss = tiny_loss(tiny_task.params)

    assert on_four["tiny/losses"][0] == pytest.approx(loss, rel=1e-5)
    assert on_four["tiny/sharded"] > 10


def test_a_resumed_real_network_is_bit_equal(on_four: dict[str, Any]):
    _, second, again = on_four["tiny/losses"]

    assert again == second
    assert on_four["tiny/resumed"]


def test_pictures_are_sampled_with_sharded_parameters(
    process: tuple[subprocess.Popen, Path], tiny_weights: Path, on_four: dict[str, Any]
):
    folder = process[1] / "one"
    _write_pictures(tiny_weights, "autoencoder", folder)

    assert on_four["pictures/sharded"] > 0
    files = [f / "0" / "00.png" for f in (folder, process[1] / "samples")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.slow
def test_the_denoiser_is_sampled_with_sharded_parameters(tiny_weights: Path, tmp_path: Path):
    command = [sys.executable, four_devices.__file__, str(tiny_weights), str(tmp_path), "pictures"]
    subprocess.run(command, env=four_devices.environment(4), check=True, timeout=TIMEOUT)
    _write_pictures(tiny_weights, "one_step", tmp_path / "one")

    with np.load(tmp_path / "results.npz") as file:
        assert file["pictures/sharded"] > 0
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
