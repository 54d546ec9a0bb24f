"""Training of the video decoder of Upscale-A-Video."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training.upscale_tiny import (
    FRAMES,
    LATENTS,
    SIDE,
    decoder_config,
    moved,
    tiny_batch,
)

from venhancer_jax.models.functional import Params
from venhancer_jax.training import run
from venhancer_jax.training.data import batch_shapes, batches
from venhancer_jax.training.loss import perceptual_distance
from venhancer_jax.training.objective import to_signed
from venhancer_jax.training.state import TrainState
from venhancer_jax.training.tasks import Task, task_of
from venhancer_jax.training.upscale_a_video.objectives import Decoder
from venhancer_jax.weights import iterate_weights

pytestmark = pytest.mark.usefixtures("least_upscaler")

# LPIPS takes long to compile and has no state.
SHORT = {"loss__perceptual": 0.0}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of clips and their latents."""
    folder, generator = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for i in range(2):
        np.savez(
            folder / f"{i}.npz",
            video=generator.integers(0, 256, (FRAMES, SIDE, SIDE, 3), np.uint8),
            low=generator.integers(0, 256, (FRAMES, SIDE // 4, SIDE // 4, 3), np.uint8),
            latents=LATENTS[i],
            key_index=np.arange(FRAMES, dtype=np.int32),
            scale=np.float32(4),
            stride=np.int32(1),
            tokens=np.zeros(77, np.int32),
        )
    return str(folder)


@pytest.fixture(scope="module")
def decoder_run(pairs: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainState]:
    folder = tmp_path_factory.mktemp("decoder") / "whole"
    return folder, run.train(decoder_config(data=pairs, **SHORT), folder)


@pytest.fixture(scope="module")
def decoder_task() -> Task:
    return task_of(decoder_config())


def test_a_decoder_starts_as_the_image_decoder(decoder_task: Task):
    added = {n for n in decoder_task.params if n.startswith("decoder.")}
    silent = {n for n in added if ".conv_3d." in n}

    assert silent and all(not np.any(decoder_task.params[n]) for n in silent)
    parts = {"condition_in", "condition_fuse", "conv_3d", "norm_3d"}
    assert all(parts & set(name.split(".")) for name in added)
    frozen = decoder_task.frozen["denoiser"]
    assert frozen.keys() == decoder_task.source.network.shapes.keys() - added
    assert not any(parts & set(name.split(".")) for name in frozen)


@pytest.mark.slow
def test_a_decoder_resumes_exactly(
    decoder_run: tuple[Path, TrainState], pairs: str, tmp_path: Path
):
    """The vectors of the power iteration and both optimizers too."""
    folder, whole = decoder_run
    shutil.copytree(folder / "checkpoints" / "2", tmp_path / "checkpoints" / "2")
    resumed = run.train(decoder_config(data=pairs, **SHORT), tmp_path)

    leaves = zip(jax.tree.leaves_with_path(whole), jax.tree.leaves(resumed), strict=True)
    assert [jax.tree_util.keystr(path) for (path, a), b in leaves if not np.array_equal(a, b)] == []
    losses = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(r["loss"]) and np.isfinite(r["discriminator_loss"]) for r in losses)


@pytest.mark.slow
def test_new_layers_move_and_all_others_stay(
    decoder_run: tuple[Path, TrainState], decoder_task: Task
):
    folder, state = decoder_run

    # The scores' last bias has no gradient as long as no score passes the margin of the hinge.
    bias = {"discriminator.convs.5.bias"}
    assert moved(decoder_task.params, state.params) | bias == decoder_task.params.keys()
    stored = dict(iterate_weights(folder / "weights"))
    assert stored.keys() == decoder_task.source.network.shapes.keys()
    frozen = decoder_task.frozen["denoiser"]
    assert not moved(frozen, {name: stored[name] for name in frozen})
    vectors = {n: x for n, x in state.params.items() if n.endswith(".u")}
    assert len(vectors) == 6
    for x in vectors.values():
        assert np.linalg.norm(x) == pytest.approx(1, rel=1e-5)


@dataclasses.dataclass(frozen=True)
class Blend:
    """A decoder of two numbers, which sees latents and low-resolution frames."""

    params: Params

    def decode(self, latents: jax.Array, low: jax.Array) -> jax.Array:
        large = [x.repeat(4, 2).repeat(4, 3) for x in (low, latents[..., :3])]
        return jnp.tanh(
            self.params["decoder.low"] * large[0] + self.params["decoder.latents"] * large[1]
        )


class BlendVAE:
    def bind(self, params: Params) -> Blend:
        return Blend(params)


def judge(params: Params, frames: jax.Array) -> jax.Array:
    return frames @ params["kernel"] + params["bias"]


@pytest.mark.slow
def test_each_network_descends_its_own_loss(decoder_task: Task):
    """Against the losses of each network alone, in which the other is a constant."""
    batch, key = tiny_batch() | {"latents": jnp.asarray(LATENTS)}, jax.random.key(1)
    objective = Decoder(
        BlendVAE(),  # pyright: ignore[reportArgumentType]
        0.5,
        judge,  # pyright: ignore[reportArgumentType]
        pixel_weight=2.0,
        perceptual_weight=0.5,
        adversarial_weight=0.3,
    )
    decoding = {"decoder.low": jnp.float32(0.6)}
    # Scores within the margin of the hinge and beyond it, on both sides.
    judging = {"kernel": jnp.ones((3, 4)), "bias": jnp.array([-3.0, -0.5, 1.0, 4.0])}
    perceptual = decoder_task.frozen["perceptual"]
    frozen = {"denoiser": {"decoder.latents": jnp.float32(0.2)}, "perceptual": perceptual}
    target = to_signed(batch["video"])

    def decoder_loss(decoding: Params, judging: Params) -> tuple[jax.Array, Any]:
        vae = Blend(decoding | frozen["denoiser"])
        frames = vae.decode(batch["latents"] / 0.5, to_signed(batch["low"]))
        pixel = jnp.abs(frames - target).mean()
        distance = perceptual_distance(perceptual, frames, target).mean()
        verdict = -judge(judging, frames).mean()
        loss = 2.0 * pixel + 0.5 * distance + 0.3 * verdict
        return loss, (frames, [pixel, distance, verdict])

    def judge_loss(judging: Params, frames: jax.Array) -> jax.Array:
        real, generated = judge(judging, target), judge(judging, frames)
        return jnp.maximum(0, 1 - real).mean() + jnp.maximum(0, 1 + generated).mean()

    prefix = "discriminator."

    @jax.jit
    def both(decoding: Params, judging: Params) -> Any:
        params = decoding | {prefix + name: x for name, x in judging.items()}
        found = jax.value_and_grad(objective.loss, has_aux=True)(params, frozen, batch, key)
        ours = jax.value_and_grad(decoder_loss, has_aux=True)(decoding, judging)
        (loss, (frames, parts)), ours = ours
        hinge, theirs = jax.value_and_grad(judge_loss)(judging, frames)
        return found, loss, parts, hinge, ours | {prefix + n: x for n, x in theirs.items()}

    ((loss, metrics), gradients), total, parts, hinge, wanted = both(decoding, judging)

    assert float(loss) == pytest.approx(float(total), rel=1e-5)
    assert all(abs(float(x)) > 1e-2 for x in parts), parts
    assert float(metrics["discriminator_loss"]) == pytest.approx(float(hinge), rel=1e-5)
    assert gradients.keys() == wanted.keys()
    for name, x in wanted.items():
        np.testing.assert_allclose(gradients[name], x, rtol=1e-4, atol=1e-7, err_msg=name)
        assert np.any(x), name


def test_stored_latents_come_with_their_frames(pairs: str):
    config = decoder_config(data=pairs)
    batch = next(iter(batches(config, config.data, seed=0)))

    assert {n: (x.shape, x.dtype) for n, x in batch_shapes(config).items()} == {
        n: (x.shape, x.dtype) for n, x in batch.items()
    }
    assert sorted(x.sum() for x in batch["latents"]) == sorted(x.sum() for x in LATENTS)


def test_without_stored_latents_those_of_the_target_are_decoded(decoder_task: Task):
    objective = decoder_task.objective
    assert isinstance(objective, Decoder)
    params = decoder_task.params_by_network(decoder_task.params)["vae"]
    batch, key = tiny_batch(), jax.random.key(1)
    latents = jax.jit(objective.latents)(params, {}, batch, key)
    # Frame by frame, although norms are over the frames of a call.
    frame = to_signed(batch["video"][:, 1:])
    posterior = jax.jit(lambda p, x: objective.vae.bind(p).encode(x))(params, frame)

    drawn = (np.asarray(latents[:, 1:]) / 0.08333 - posterior.mean) / posterior.std
    assert abs(drawn.mean()) < 0.1 and abs(drawn.std() - 1) < 0.1
