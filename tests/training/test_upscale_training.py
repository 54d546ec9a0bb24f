"""Training of Upscale-A-Video: temporal layers of the UNet, and the video decoder."""

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from venhancer_jax.configs import (
    train_upscale_a_video_debug,
    train_upscale_a_video_decoder_debug,
)
from venhancer_jax.diffusion.schedule import scaled_linear_schedule
from venhancer_jax.errors import InputError
from venhancer_jax.models.autoencoders.vae import VAEConfig
from venhancer_jax.models.functional import Params
from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.pipelines.registry import find_system
from venhancer_jax.training import run
from venhancer_jax.training.loss import perceptual_distance
from venhancer_jax.training.objective import to_signed
from venhancer_jax.training.state import TrainState
from venhancer_jax.training.tasks import Task, task_of
from venhancer_jax.training.upscale_a_video.objectives import Decoder
from venhancer_jax.weights import iterate_weights

FRAMES, SIDE = 2, 32
VAE = VAEConfig.x4_image(
    channels=(8, 8, 8), blocks_per_level=0, groups=4, mid_attention=False
)
NETWORKS = {"vae": VAE, "text": NullTextConfig(width=16)}
WEIGHTS = {"pixel": 2.0, "perceptual": 0.5, "adversarial": 0.3}


@pytest.fixture(scope="module", autouse=True)
def preset() -> Iterator[None]:
    """The least networks in place of those of the debug preset."""
    presets = find_system("upscale_a_video").presets
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(presets, "debug", NETWORKS)  # pyright: ignore[reportArgumentType]
        yield


def _config(config: ConfigDict, **changes: Any) -> ConfigDict:
    config = config.unlock()
    config.frames, config.height, config.width = FRAMES, SIDE, SIDE
    config.steps, config.warmup_steps, config.log_every, config.save_every = 4, 0, 1, 2
    config.validate_every, config.augment.real_world = 0, 0.0
    config.discriminator.width = 2
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    return config.lock()


def _diffusion(**changes: Any) -> ConfigDict:
    return _config(train_upscale_a_video_debug.get_config(), **changes)


def _decoder(**changes: Any) -> ConfigDict:
    config = _config(train_upscale_a_video_decoder_debug.get_config()).unlock()
    config.loss.update(WEIGHTS)
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    return config


def _moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    assert before.keys() == after.keys()
    return {n for n in before if not np.array_equal(before[n], after[n])}


# The decoder.


@pytest.fixture(scope="module")
def decoder_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainState]:
    folder = tmp_path_factory.mktemp("decoder") / "whole"
    return folder, run.train(_decoder(), folder)


@pytest.fixture(scope="module")
def decoder_task() -> Task:
    return task_of(_decoder())


def test_a_decoder_starts_as_the_image_decoder(decoder_task: Task):
    added = {n for n in decoder_task.params if n.startswith("decoder.")}
    silent = {n for n in added if ".conv_3d." in n}

    assert silent and all(not np.any(decoder_task.params[n]) for n in silent)
    parts = {"condition_in", "condition_fuse", "conv_3d", "norm_3d"}
    assert all(parts & set(name.split(".")) for name in added)
    frozen = decoder_task.frozen["denoiser"]
    assert frozen.keys() == decoder_task.source.network.shapes.keys() - added
    assert not any(parts & set(name.split(".")) for name in frozen)


def test_a_decoder_resumes_exactly(decoder_run: tuple[Path, TrainState], tmp_path: Path):
    """The vectors of the power iteration and both optimizers too."""
    folder, whole = decoder_run
    shutil.copytree(folder / "checkpoints" / "2", tmp_path / "checkpoints" / "2")
    resumed = run.train(_decoder(), tmp_path)

    leaves = zip(jax.tree.leaves_with_path(whole), jax.tree.leaves(resumed), strict=True)
    assert [jax.tree_util.keystr(path) for (path, a), b in leaves if not np.array_equal(a, b)] == []
    losses = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(r["loss"]) and np.isfinite(r["discriminator_loss"]) for r in losses)


def test_new_layers_move_and_all_others_stay(
    decoder_run: tuple[Path, TrainState], decoder_task: Task
):
    folder, state = decoder_run

    assert _moved(decoder_task.params, state.params) == decoder_task.params.keys()
    stored = dict(iterate_weights(folder / "weights"))
    assert stored.keys() == decoder_task.source.network.shapes.keys()
    frozen = decoder_task.frozen["denoiser"]
    assert not _moved(frozen, {name: stored[name] for name in frozen})
    vectors = {n: x for n, x in state.params.items() if n.endswith(".u")}
    assert len(vectors) == 6
    for x in vectors.values():
        assert np.linalg.norm(x) == pytest.approx(1, rel=1e-5)


def _batch(*, latents: bool = False) -> dict[str, jax.Array]:
    generator = np.random.default_rng(0)
    low = generator.integers(0, 256, (2, FRAMES, SIDE // 4, SIDE // 4, 3), np.uint8)
    batch = {
        "video": low.repeat(4, 2).repeat(4, 3),
        "low": low,
        "noise_aug": np.array([1, 351], np.int32),
        "tokens": np.zeros((2, 77), np.int32),
    }
    if latents:
        shape = (2, FRAMES, SIDE // 4, SIDE // 4, 4)
        batch["latents"] = 0.1 * generator.standard_normal(shape, np.float32)
    return {name: jnp.asarray(x) for name, x in batch.items()}


def test_each_network_descends_its_own_loss(decoder_task: Task):
    """Against the losses of each network alone, in which the other is a constant."""
    objective, frozen = decoder_task.objective, decoder_task.frozen
    assert isinstance(objective, Decoder) and objective.discriminator is not None
    judge, batch, key = objective.discriminator, _batch(latents=True), jax.random.key(1)
    generator = np.random.default_rng(1)
    params = {
        name: x + 0.05 * generator.standard_normal(x.shape, np.float32)
        for name, x in decoder_task.params.items()
    }
    prefix = "discriminator."
    judging = {n.removeprefix(prefix): x for n, x in params.items() if n.startswith(prefix)}
    decoding = {n: x for n, x in params.items() if not n.startswith(prefix)}
    target = to_signed(batch["video"])

    def decode(decoding: Params) -> jax.Array:
        vae = objective.vae.bind(decoding | frozen["denoiser"])
        return vae.decode(batch["latents"] / 0.08333, to_signed(batch["low"]))

    def decoder_loss(decoding: Params) -> tuple[jax.Array, Any]:
        frames = decode(decoding)
        pixel = jnp.abs(frames - target).mean()
        distance = perceptual_distance(frozen["perceptual"], frames, target).mean()
        verdict = -judge(judging, frames).mean()
        loss = 2.0 * pixel + 0.5 * distance + 0.3 * verdict
        return loss, (frames, {"pixel": pixel, "distance": distance, "verdict": verdict})

    def judge_loss(judging: Params, frames: jax.Array) -> jax.Array:
        real, generated = judge(judging, target), judge(judging, frames)
        return jnp.maximum(0, 1 - real).mean() + jnp.maximum(0, 1 + generated).mean()

    @jax.jit
    def expected(decoding: Params, judging: Params) -> Any:
        (loss, (frames, parts)), ours = jax.value_and_grad(decoder_loss, has_aux=True)(decoding)
        hinge, theirs = jax.value_and_grad(judge_loss)(judging, frames)
        return loss, parts, hinge, ours | {prefix + name: x for name, x in theirs.items()}

    found = jax.jit(jax.value_and_grad(objective.loss, has_aux=True))
    (loss, metrics), gradients = found(params, frozen, batch, key)
    total, parts, hinge, wanted = expected(decoding, judging)

    assert float(loss) == pytest.approx(float(total), rel=1e-5)
    assert all(abs(float(x)) > 1e-3 for x in parts.values()), parts
    assert float(metrics["discriminator_loss"]) == pytest.approx(float(hinge), rel=1e-5)
    assert gradients.keys() == wanted.keys()
    for name, x in wanted.items():
        np.testing.assert_allclose(
            gradients[name], x, rtol=1e-3, atol=1e-5 * float(np.abs(x).max()) + 1e-9, err_msg=name
        )
        assert np.any(x) != name.endswith(".u"), name


def test_without_stored_latents_those_of_the_target_are_decoded(decoder_task: Task):
    objective = decoder_task.objective
    assert isinstance(objective, Decoder)
    params = decoder_task.params_by_network(decoder_task.params)["vae"]
    batch, key = _batch(), jax.random.key(1)
    latents = jax.jit(objective.latents)(params, {}, batch, key)
    # Frame by frame, although norms are over the frames of a call.
    frame = to_signed(batch["video"][:, 1:])
    posterior = jax.jit(lambda p, x: objective.vae.bind(p).encode(x))(params, frame)

    drawn = (np.asarray(latents[:, 1:]) / 0.08333 - posterior.mean) / posterior.std
    assert abs(drawn.mean()) < 0.1 and abs(drawn.std() - 1) < 0.1
