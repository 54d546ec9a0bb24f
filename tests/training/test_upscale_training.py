"""Training of Upscale-A-Video: the temporal layers of its UNet, and what both trainings share."""

import dataclasses
import json
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
    LATENTS,
    SILENT,
    UNET,
    decoder_config,
    diffusion_config,
    moved,
    tiny_batch,
    train_on_mesh,
)

from venhancer_jax.configs import train_upscale_a_video, train_upscale_a_video_decoder
from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import Params
from venhancer_jax.pipelines import catalog
from venhancer_jax.planning.topology import fake_devices
from venhancer_jax.planning.training import step_spec
from venhancer_jax.sharding.chips import CHIPS
from venhancer_jax.training import run
from venhancer_jax.training.diffusion import Diffusion
from venhancer_jax.training.initialization import init_sharded_params
from venhancer_jax.training.objective import to_signed
from venhancer_jax.training.precompute import precompute
from venhancer_jax.training.state import TrainState, optimizer_of
from venhancer_jax.training.step import make_step
from venhancer_jax.training.tasks import Task, task_of

pytestmark = pytest.mark.usefixtures("least_upscaler")


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
        state, metrics = step(state, unet_task.frozen, tiny_batch() | {"video": LATENTS})

    assert np.isfinite(metrics["loss"]) and int(state.updates) == 3
    assert moved(unet_task.params, state.params) == unet_task.params.keys()
    assert unet_task.all_params(state.ema).keys() == unet_task.source.network.shapes.keys()


def test_the_input_has_the_noise_of_its_label(unet_task: Task):
    assert isinstance(unet_task.objective, Diffusion)
    conditioning = unet_task.objective.conditioning
    batch = tiny_batch() | {"video": LATENTS}
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
    example = conditioning.inputs(unet_task.frozen, tiny_batch(), key)
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
