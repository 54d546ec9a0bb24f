"""Training of Upscale-A-Video: temporal layers of the UNet, and the video decoder."""

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding
from training.forked import start
from training.upscale_tiny import (
    FRAMES,
    NETWORKS,
    SIDE,
    SILENT,
    UNET,
    decoder_config,
    diffusion_config,
    train_on_mesh,
)

from venhancer_jax.configs import train_upscale_a_video, train_upscale_a_video_decoder
from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import Params
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.registry import find_system
from venhancer_jax.planning.topology import fake_devices
from venhancer_jax.planning.training import step_spec
from venhancer_jax.sharding.chips import CHIPS
from venhancer_jax.training import run
from venhancer_jax.training.data import batch_shapes, batches
from venhancer_jax.training.diffusion import Diffusion
from venhancer_jax.training.initialization import init_sharded_params
from venhancer_jax.training.loss import perceptual_distance
from venhancer_jax.training.objective import to_signed
from venhancer_jax.training.precompute import precompute
from venhancer_jax.training.state import TrainState, optimizer_of
from venhancer_jax.training.step import make_step
from venhancer_jax.training.tasks import Task, task_of
from venhancer_jax.training.upscale_a_video.objectives import Decoder
from venhancer_jax.weights import iterate_weights

# LPIPS takes long to compile and has no state.
SHORT = {"loss__perceptual": 0.0}
LATENTS = np.random.default_rng(2).standard_normal((2, FRAMES, 8, 8, 4)).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def preset() -> Iterator[None]:
    """The least networks in place of those of the debug preset."""
    presets = find_system("upscale_a_video").presets
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(presets, "debug", NETWORKS)  # pyright: ignore[reportArgumentType]
        yield


def _moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    assert before.keys() == after.keys()
    return {n for n in before if not np.array_equal(before[n], after[n])}


def _batch() -> dict[str, jax.Array]:
    generator = np.random.default_rng(0)
    low = generator.integers(0, 256, (2, FRAMES, SIDE // 4, SIDE // 4, 3), np.uint8)
    batch = {
        "video": low.repeat(4, 2).repeat(4, 3),
        "low": low,
        "noise_aug": np.array([1, 351], np.int32),
        "tokens": np.zeros((2, 77), np.int32),
    }
    return {name: jnp.asarray(x) for name, x in batch.items()}


# The decoder.


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
    assert _moved(decoder_task.params, state.params) | bias == decoder_task.params.keys()
    stored = dict(iterate_weights(folder / "weights"))
    assert stored.keys() == decoder_task.source.network.shapes.keys()
    frozen = decoder_task.frozen["denoiser"]
    assert not _moved(frozen, {name: stored[name] for name in frozen})
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


def test_each_network_descends_its_own_loss(decoder_task: Task):
    """Against the losses of each network alone, in which the other is a constant."""
    batch, key = _batch() | {"latents": jnp.asarray(LATENTS)}, jax.random.key(1)
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
    batch, key = _batch(), jax.random.key(1)
    latents = jax.jit(objective.latents)(params, {}, batch, key)
    # Frame by frame, although norms are over the frames of a call.
    frame = to_signed(batch["video"][:, 1:])
    posterior = jax.jit(lambda p, x: objective.vae.bind(p).encode(x))(params, frame)

    drawn = (np.asarray(latents[:, 1:]) / 0.08333 - posterior.mean) / posterior.std
    assert abs(drawn.mean()) < 0.1 and abs(drawn.std() - 1) < 0.1


# The UNet.


@pytest.fixture(scope="module")
def unet_task() -> Task:
    """The task without numbers."""
    return task_of(diffusion_config(), abstract=True)


def test_a_unet_starts_with_silent_temporal_layers(unet_task: Task):
    added, frozen = unet_task.params, unet_task.frozen["denoiser"]

    assert added.keys() | frozen.keys() == unet_task.source.network.shapes.keys()
    image = dataclasses.replace(UNET, temporal=False)
    assert frozen.keys() == catalog.build("upscale_a_video", image).shapes.keys()
    # Each output layer and one layer before it, as they are initialized.
    outputs = {n for n in added if n.endswith(("temporal.to_out.kernel", "proj_out.kernel"))}
    others = {
        n
        for n in added
        if n.endswith(("temporal.to_q.kernel", "middle.module.temporal.conv1.kernel"))
    }
    everywhere = dict.fromkeys(outputs | others, SingleDeviceSharding(jax.devices()[0]))
    fresh = init_sharded_params(unet_task.source.network, jax.random.key(0), everywhere)

    assert len(outputs) == SILENT and others, sorted(added)
    assert {name for name, x in fresh.items() if not np.any(x)} == outputs


@pytest.mark.slow
def test_all_temporal_layers_move():
    """Those behind a silent layer from the second step on."""
    config = diffusion_config()
    unet_task = task_of(config)
    optimizer = optimizer_of(config)
    step = jax.jit(make_step(unet_task.objective, optimizer, seed=0))
    state = TrainState.start(unet_task.params, optimizer)
    for _ in range(3):
        state, metrics = step(state, unet_task.frozen, _batch() | {"video": LATENTS})

    assert np.isfinite(metrics["loss"]) and int(state.updates) == 3
    assert _moved(unet_task.params, state.params) == unet_task.params.keys()
    assert unet_task.all_params(state.ema).keys() == unet_task.source.network.shapes.keys()


def test_the_input_has_the_noise_of_its_label(unet_task: Task):
    assert isinstance(unet_task.objective, Diffusion)
    conditioning = unet_task.objective.conditioning
    batch = _batch() | {"video": LATENTS}
    example = conditioning.example(unet_task.frozen, batch, jax.random.key(0))

    # sqrt(1 - product of 1 - beta) at labels 0 and 350.
    betas = np.linspace(1e-4**0.5, 0.02**0.5, 1000) ** 2
    remains = np.cumprod(1 - betas)[[0, 350]]
    assert example.label.tolist() == [0, 350] and np.array_equal(example.clean, LATENTS)
    for noised, clean, share in zip(example.low, to_signed(batch["low"]), remains, strict=True):
        noise = (np.asarray(noised) - share**0.5 * np.asarray(clean)) / (1 - share) ** 0.5
        assert abs(noise.std() - 1) < 0.2 and abs(noise.mean()) < 0.2
    # Each frame has noise of its own.
    noise = np.asarray(example.low[1]) - remains[1] ** 0.5 * np.asarray(to_signed(batch["low"][1]))
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.3


def test_sampling_is_ddim_with_whole_strides(unet_task: Task):
    """Against the formulas in NumPy, with a v in which every input shows."""

    def denoiser(params: Params, x: jax.Array, t: jax.Array, text: Any, label: Any) -> jax.Array:
        at = (t / 1000 + label / 500)[:, None, None, None, None]
        return jnp.sin(2 * x[..., :4] + at) * params["weight"] + 0.1 * x[..., 4:5]

    assert isinstance(unet_task.objective, Diffusion)
    conditioning = dataclasses.replace(
        unet_task.objective.conditioning,
        denoiser=denoiser,  # pyright: ignore[reportArgumentType]
    )
    params, key = {"weight": jnp.float32(0.7)}, jax.random.key(5)
    example = conditioning.inputs(unet_task.frozen, _batch(), key)
    found = jax.jit(conditioning.sample, static_argnames="steps")(params, example, key, steps=3)

    remains = np.cumprod(1 - np.linspace(1e-4**0.5, 0.02**0.5, 1000) ** 2)
    x = np.asarray(jax.random.normal(key, found.shape), np.float64)
    for t, after in ((667, 334), (334, 1), (1, 0)):
        inputs = jnp.concatenate([x, example.low], -1)
        v = np.asarray(denoiser(params, inputs, jnp.full(2, t), None, example.label))
        alpha, sigma = remains[t] ** 0.5, (1 - remains[t]) ** 0.5
        clean, noise = alpha * x - sigma * v, alpha * v + sigma * x
        x = remains[after] ** 0.5 * clean + (1 - remains[after]) ** 0.5 * noise
    np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_decoder_learns_from_the_latents_of_the_unet(tmp_path: Path):
    """The commands of the docs, one after the other."""
    run.train(diffusion_config(steps=1), tmp_path / "unet")
    prior = {"prior": str(tmp_path / "unet" / "weights"), "validate_steps": 2}
    precompute(decoder_config(**prior), tmp_path / "pairs", 2)
    state = run.train(decoder_config(data=str(tmp_path / "pairs"), steps=1), tmp_path / "decoder")

    with np.load(tmp_path / "pairs" / "000000.npz") as arrays:
        assert arrays["video"].dtype == np.uint8 and np.isfinite(arrays["latents"]).all()
        assert np.std(arrays["latents"]) > 0.1
    assert int(state.updates) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trainable": "controlnet"}, "trainable 'controlnet'"),
        ({"augment__enlarge": True}, "augment.enlarge=False"),
        ({"height": 34}, "4 times as large"),
        ({"augment__strides": (2,)}, "augment.strides"),
        ({"augment__noise_levels": (1, 400)}, "label is 350"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        task_of(diffusion_config(**changes))


def test_the_decoder_checks_its_settings_too():
    with pytest.raises(InputError, match=r"augment\.strides"):
        task_of(decoder_config(augment__strides=(2,)))


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["diffusion", "decoder"])
def test_a_mesh_trains_as_one_device(objective: str, tmp_path: Path):
    process = start(tmp_path / "output.txt", train_on_mesh, objective, tmp_path / "4", devices=4)
    config = {"diffusion": diffusion_config, "decoder": decoder_config}[objective]
    run.train(config(batch=4, steps=2), tmp_path / "1")
    process.join(600)
    assert process.exitcode == 0, (tmp_path / "output.txt").read_text()

    one, four = (
        [json.loads(x) for x in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("1", "4")
    )
    for a, b in zip(one, four, strict=True):
        for name in ("loss", "gradient_norm", "parameter_norm"):
            assert b[name] == pytest.approx(a[name], rel=1e-4), name


@pytest.mark.parametrize("traced", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("config", [train_upscale_a_video, train_upscale_a_video_decoder])
def test_the_full_training_is_planned_for_its_chips(config: ModuleType, traced: bool):
    """With small networks; and not compiled for TPUs, which takes minutes."""
    chip = next(chip for chip in CHIPS if chip.name == "v6e")
    settings = config.get_config().unlock()
    settings.preset = "debug"
    spec = step_spec(settings, fake_devices(256, chip, "tpu"))
    state, _, batch = spec.arguments

    shards = spec.mesh.shape["data"] * spec.mesh.shape["fsdp"]
    assert settings.batch % shards == 0 and spec.mesh.size == 256
    assert batch["video"].shape == (settings.batch, 8, 320, 320, 3)
    assert batch["low"].shape == (settings.batch, 8, 80, 80, 3)
    if not traced:
        return
    with jax.set_mesh(spec.mesh):
        after, metrics = spec.function.trace(*spec.arguments).out_info
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert metrics["loss"].shape == ()
