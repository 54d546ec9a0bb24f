"""Latents that are computed once, and training on them."""

from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from training.tiny import tiny_config

from venhancer_jax.errors import InputError
from venhancer_jax.training import precompute
from venhancer_jax.training.data import batch_shapes, batches
from venhancer_jax.training.diffusion import Diffusion
from venhancer_jax.training.tasks import Task


def _config(weights: Path, **changes) -> ConfigDict:
    return tiny_config(weights, {"batch": 2, **changes})


@pytest.fixture(scope="module")
def latents(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latents")
    precompute.precompute(_config(tiny_weights), folder, 3)
    return folder


def test_as_many_files_as_asked(latents: Path):
    assert sorted(path.name for path in latents.iterdir()) == [f"{i:06d}.npz" for i in range(3)]


def test_latents_are_those_of_the_frames(latents: Path, tiny_task: Task, tiny_weights: Path):
    config = _config(tiny_weights)
    assert isinstance(tiny_task.objective, Diffusion)
    encode, frozen = jax.jit(tiny_task.objective.conditioning.example), tiny_task.frozen
    batch = next(iter(batches(config, "synthetic", seed=0)))
    key = jax.random.fold_in(jax.random.key(0), 0)
    expected = encode(frozen, batch, key)

    with np.load(latents / "000001.npz") as arrays:
        stored = dict(arrays)

    np.testing.assert_allclose(stored["video"], expected.clean[1], atol=1e-4)
    np.testing.assert_allclose(stored["low"], expected.low[1], atol=1e-4)
    assert stored["key_index"].tolist() == batch["key_index"][1].tolist()
    # They pass through training as they are.
    again = {**batch, "video": stored["video"][None], "low": stored["low"][None]}
    again |= {name: batch[name][1:] for name in ("key_index", "scale", "noise_aug", "tokens")}
    example = encode(frozen, again, key)
    np.testing.assert_array_equal(example.clean[0], stored["video"])
    np.testing.assert_array_equal(example.low[0], stored["low"])


@pytest.mark.parametrize("kind", ["synthetic", "latents"])
def test_shapes_are_known_before_the_first_batch(kind: str, latents: Path, tiny_weights: Path):
    config = _config(tiny_weights, data=str(latents) if kind == "latents" else kind)

    batch = next(iter(batches(config, config.data, seed=0)))

    known = {name: (x.shape, x.dtype) for name, x in batch_shapes(config).items()}
    assert known == {name: (x.shape, x.dtype) for name, x in batch.items()}


def test_what_needs_pixels_is_refused(latents: Path, tiny_weights: Path):
    config = _config(tiny_weights, data=str(latents), objective="one_step")
    with pytest.raises(InputError, match="holds latents"):
        batch_shapes(config)
    config.update(loss={"pixel": 0.0})
    batch_shapes(config)
    with pytest.raises(InputError, match="nothing to encode"):
        precompute.precompute(_config(tiny_weights, objective="autoencoder"), latents, 1)


def test_command_line_wants_a_number(capsys: pytest.CaptureFixture[str]):
    assert precompute.main(["--output=x"]) == 2
    assert "--examples=NUMBER" in capsys.readouterr().err
