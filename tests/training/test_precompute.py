"""Latents that are computed once, and training on them."""

from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from venhancer_jax.errors import InputError
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.training import precompute
from venhancer_jax.training.config import training_config
from venhancer_jax.training.data import batch_shapes, batches
from venhancer_jax.training.tasks import task_of


def _config(**changes) -> ConfigDict:
    config = training_config()
    config.preset, config.dtype = "demo", "float32"
    config.batch, config.frames, config.height, config.width = 2, 3, 24, 16
    config.update(changes)
    return config


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latents")
    precompute.precompute(_config(), folder, 3)
    return folder


def test_as_many_files_as_asked(latents: Path):
    assert sorted(path.name for path in latents.iterdir()) == [f"{i:06d}.npz" for i in range(3)]


def test_latents_are_those_of_the_frames(latents: Path):
    config = _config()
    task = task_of(config, device_mesh(config.mesh))
    conditioning, frozen = task.objective.conditioning, task.frozen
    batch = next(iter(batches(config, "synthetic", seed=0)))
    key = jax.random.fold_in(jax.random.key(0), 0)
    expected = conditioning.example(frozen, batch, key)

    with np.load(latents / "000001.npz") as arrays:
        stored = dict(arrays)

    np.testing.assert_allclose(stored["video"], expected.clean[1], atol=1e-4)
    np.testing.assert_allclose(stored["low"], expected.low[1], atol=1e-4)
    assert stored["key_index"].tolist() == batch["key_index"][1].tolist()
    # They pass through training as they are.
    again = {**batch, "video": stored["video"][None], "low": stored["low"][None]}
    again |= {name: batch[name][1:] for name in ("key_index", "scale", "noise_aug", "tokens")}
    example = conditioning.example(frozen, again, key)
    np.testing.assert_array_equal(example.clean[0], stored["video"])
    np.testing.assert_array_equal(example.low[0], stored["low"])


@pytest.mark.parametrize("kind", ["synthetic", "latents"])
def test_shapes_are_told_before_the_first_batch(kind: str, latents: Path):
    config = _config(data=str(latents) if kind == "latents" else kind)

    batch = next(iter(batches(config, config.data, seed=0)))

    told = {name: (x.shape, x.dtype) for name, x in batch_shapes(config).items()}
    assert told == {name: (x.shape, x.dtype) for name, x in batch.items()}


def test_what_needs_pixels_is_told(latents: Path):
    config = _config(data=str(latents), objective="one_step")
    with pytest.raises(InputError, match="holds latents"):
        batch_shapes(config)
    config.update(loss={"pixel": 0.0})
    batch_shapes(config)
    with pytest.raises(InputError, match="nothing to encode"):
        precompute.precompute(_config(objective="autoencoder"), latents, 1)


def test_command_line_wants_a_number(capsys: pytest.CaptureFixture[str]):
    assert precompute.main(["--output=x"]) == 2
    assert "--examples=NUMBER" in capsys.readouterr().err
