"""What trains, what is frozen, and where a run starts."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from venhancer_jax.training.conditioning import Conditioning
from venhancer_jax.training.diffusion import Diffusion
from venhancer_jax.training.log import MetricsLog

from venhancer_jax.diffusion.schedule import cosine_interpolated_schedule
from venhancer_jax.models.autoencoders.vae import VAEConfig
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.training.checkpoints import Checkpoints
from venhancer_jax.training.state import TrainState, copy_prior, make_optimizer, split
from venhancer_jax.training.step import make_step

UNET = UNet3DConfig.tiny(
    width=64, blocks_per_level=1, multipliers=(1,), attention_levels=(0,), context_width=32
)
VAE = VAEConfig.tiny(channels=(8, 8), groups=4)
TEXT = ClipTextConfig(width=32, heads=2, layers=2).only_used()
NETWORKS = {
    "venhancer": catalog.build("venhancer", UNET),
    "vae": catalog.build("vae", VAE),
    "text": catalog.build("text", TEXT),
}
CONDITIONING = Conditioning(
    NETWORKS["venhancer"],
    NETWORKS["vae"],
    NETWORKS["text"],
    VAE.scaling_factor,
    cosine_interpolated_schedule(),
)


def _fresh(name: str) -> dict[str, jax.Array]:
    generator = np.random.default_rng(len(name))
    return {
        n: jnp.asarray(0.1 * generator.standard_normal(s.shape) + n.endswith("scale"), jnp.float32)
        for n, s in NETWORKS[name].shapes.items()
    }


@pytest.fixture(scope="module")
def params() -> dict[str, dict[str, jax.Array]]:
    return {name: _fresh(name) for name in NETWORKS}


@pytest.fixture(scope="module")
def optimizer():
    return make_optimizer(learning_rate=1e-3, warmup_steps=2)


@pytest.fixture(scope="module")
def step(optimizer):
    return jax.jit(make_step(Diffusion(CONDITIONING), optimizer, seed=0, ema_decay=0.9))


def _batch(seed: int) -> dict[str, jax.Array]:
    generator = np.random.default_rng(seed)
    frames = generator.integers(0, 256, (2, 2, 3, 16, 16, 3), dtype=np.uint8)
    return {
        "video": jnp.asarray(frames[0]),
        "low": jnp.asarray(frames[1]),
        "key_index": jnp.array([[0, -1, 1], [0, 1, 2]]),
        "scale": jnp.array([2.0, 4.0]),
        "noise_aug": jnp.array([1, 300]),
        "tokens": jnp.asarray(generator.integers(0, 49408, (2, 77))),
    }


def _frozen(params, denoiser):
    return {"denoiser": denoiser, "vae": params["vae"], "text": params["text"]}


def _run(step, state, frozen, params, seeds):
    losses = []
    for seed in seeds:
        state, metrics = step(state, _frozen(params, frozen), _batch(seed))
        losses.append(float(metrics["loss"]))
    return state, losses


def test_controlnet_starts_as_the_prior():
    fresh = NETWORKS["venhancer"].init(jax.random.key(0))
    params = copy_prior(fresh)

    for name, value in params.items():
        if name.startswith("controlnet.encoder."):
            prior = fresh[name.replace("controlnet.", "unet.", 1)]
            assert jnp.array_equal(value, prior), name
    assert not any(jnp.any(params[n]) for n in params if n.startswith("controlnet.zero_convs"))


def test_only_the_controlnet_trains(step, optimizer, params):
    trains, frozen = split(params["venhancer"], "controlnet")
    assert set(trains) | set(frozen) == set(params["venhancer"])
    assert {n.split(".")[0] for n in frozen} == {"unet"}

    state, losses = _run(step, TrainState.start(trains, optimizer), frozen, params, range(3))

    assert int(state.step) == 3
    assert all(np.isfinite(losses))
    moved = [n for n in trains if not jnp.array_equal(state.params[n], trains[n])]
    assert len(moved) > 0.9 * len(trains)


def test_everything_can_train(params):
    trains, frozen = split(params["venhancer"], "all")

    assert trains.keys() == params["venhancer"].keys()
    assert frozen == {}


def test_resumed_run_goes_on_bit_equal(step, optimizer, params, tmp_path: Path):
    trains, frozen = split(params["venhancer"], "controlnet")
    start = TrainState.start(trains, optimizer)
    whole, losses = _run(step, start, frozen, params, range(4))
    half, _ = _run(step, start, frozen, params, range(2))
    checkpoints = Checkpoints(tmp_path / "run", save_every=2)
    checkpoints.save(half, 2, {"next": 2})
    checkpoints.close()

    restored, at, data = Checkpoints(tmp_path / "run", save_every=2).restore(start) or (None,) * 3
    resumed, tail = _run(step, restored, frozen, params, range(data["next"], 4))

    assert at == 2
    assert tail == losses[2:]
    assert jax.tree.all(jax.tree.map(jnp.array_equal, resumed, whole))


def test_no_checkpoint_is_no_error(optimizer, params, tmp_path: Path):
    start = TrainState.start(split(params["venhancer"], "controlnet")[0], optimizer)

    assert Checkpoints(tmp_path / "none", save_every=1).restore(start) is None


def test_randomness_follows_step_and_data(step, optimizer, params):
    trains, frozen = split(params["venhancer"], "controlnet")
    start = TrainState.start(trains, optimizer)

    _, same = _run(step, start, frozen, params, [0])
    _, again = _run(step, start, frozen, params, [0])
    later = TrainState(start.step + 1, start.params, start.ema, start.optimizer)
    _, other = _run(step, later, frozen, params, [0])

    assert same == again
    assert same != other


def test_average_follows_slowly(step, optimizer, params):
    trains, frozen = split(params["venhancer"], "controlnet")
    start = TrainState.start(trains, optimizer)

    after, _ = _run(step, start, frozen, params, [0, 1])

    name = "controlnet.hint_conv.kernel"
    moved = jnp.abs(after.params[name] - start.params[name]).max()
    averaged = jnp.abs(after.ema[name] - start.ema[name]).max()
    assert 0 < averaged < 0.2 * moved


def test_loss_by_time_adds_up(step, optimizer, params):
    trains, frozen = split(params["venhancer"], "controlnet")
    state = TrainState.start(trains, optimizer)

    _, metrics = step(state, _frozen(params, frozen), _batch(0))

    assert float(metrics["count_by_time"].sum()) == 2
    total = float(metrics["loss_by_time"].sum()) / 2
    assert total == pytest.approx(float(metrics["loss"]), rel=1e-6)


def test_logged_floats_read_back_bit_equal(tmp_path: Path):
    import json

    value = np.float32(0.1) * np.float32(3.3)
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.write(7, {"loss": value, "loss_by_time": np.array([value, 1e-30], np.float32)})
    log.close()

    record = json.loads((tmp_path / "metrics.jsonl").read_text())

    assert record["step"] == 7
    assert np.float32(record["loss"]) == value
    assert np.float32(record["loss_by_time"][1]) == np.float32(1e-30)
