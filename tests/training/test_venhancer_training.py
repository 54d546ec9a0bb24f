"""Where a training of VEnhancer starts, and what its batches become."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training.tiny import batch, on_devices, tiny_config

from venhancer_jax.errors import InputError
from venhancer_jax.training.diffusion import Diffusion
from venhancer_jax.training.objective import stream, to_signed
from venhancer_jax.training.tasks import Task, task_of
from venhancer_jax.training.venhancer.start import split
from venhancer_jax.weights import iterate_weights

Loss = Callable[..., float]


@pytest.fixture(scope="module")
def stored(tiny_weights: Path) -> dict[str, np.ndarray]:
    return dict(iterate_weights(tiny_weights / "venhancer"))


def _silent(params):
    """The network without what the ControlNet adds."""
    return {n: 0 * x if n.startswith("controlnet.zero_convs.") else x for n, x in params.items()}


def test_published_weights_start_with_the_whole_controlnet(
    tiny_task: Task, tiny_loss: Loss, stored: dict[str, np.ndarray]
):
    assert tiny_task.params.keys() == stored.keys()
    for name, x in stored.items():
        np.testing.assert_array_equal(tiny_task.params[name], x)
    # Which the loss of the first step shows.
    assert abs(tiny_loss(tiny_task.params) - tiny_loss(_silent(stored))) > 1e-3


@pytest.mark.parametrize("folder", ["venhancer", "unet"])
def test_a_prior_starts_with_the_loss_of_its_unet(
    folder: str, tiny_weights: Path, tiny_loss: Loss, stored: dict[str, np.ndarray]
):
    changes = {"start": "prior", "prior": str(tiny_weights / folder)}
    params = task_of(tiny_config(tiny_weights, changes)).params

    assert tiny_loss(params) == pytest.approx(tiny_loss(_silent(stored)), rel=1e-6)
    copied = 0
    for name, x in params.items():
        if name.startswith("unet."):
            np.testing.assert_array_equal(x, stored[name])
        if name.startswith("controlnet.encoder."):
            copied += 1
            np.testing.assert_array_equal(x, stored[name.replace("controlnet.", "unet.", 1)])
    assert copied > 10
    for layer in ("zero_convs.", "hint_conv.kernel", "noise_embedding.kernel"):
        found = [x for n, x in params.items() if n.startswith(f"controlnet.{layer}")]
        assert found and not any(np.any(x) for x in found), layer


def test_published_weights_need_a_controlnet(tiny_weights: Path):
    changes = {"start": "published", "prior": str(tiny_weights / "unet")}
    with pytest.raises(InputError, match=r"lacks .*config\.start=prior"):
        task_of(tiny_config(tiny_weights, changes))


def test_the_controlnet_trains_beside_a_frozen_unet(tiny_task: Task):
    trains, frozen = split(tiny_task.params, "controlnet")

    assert {n.split(".")[0] for n in trains} == {"controlnet"}
    assert {n.split(".")[0] for n in frozen} == {"unet"}
    assert split(tiny_task.params, "all") == (tiny_task.params, {})


def test_posteriors_and_noise_are_drawn_apart(tiny_task: Task):
    """Each purpose has random numbers of its own, and the inputs are what the paper says."""
    assert isinstance(tiny_task.objective, Diffusion)
    conditioning, frozen = tiny_task.objective.conditioning, tiny_task.frozen
    data = on_devices(batch(0))
    # The hint is mostly noise; target and hint have the same frames.
    data |= {"low": data["video"], "noise_aug": jnp.full(4, 900)}
    example = jax.jit(conditioning.example)(frozen, data, jax.random.key(3))
    flat = data["video"].reshape(-1, 1, *data["video"].shape[2:])
    vae = conditioning.vae.bind(frozen["vae"])
    posterior = jax.jit(vae.encode)(to_signed(flat))
    mean, std = (
        np.asarray(x).reshape(example.clean.shape) for x in (posterior.mean, posterior.std)
    )

    factor = conditioning.scaling_factor
    alpha, sigma = (np.asarray(x) for x in conditioning.levels(example.hint_t))
    drawn = stream(jax.random.key(3), "noise")  # the key of `Diffusion.loss`
    noises = {
        "target": np.asarray(conditioning.diffuse(example.clean, example.hint_t, drawn)[1]),
        "target posterior": (np.asarray(example.clean) / factor - mean) / std,
        "hint posterior": (np.asarray(example.low) / factor - mean) / std,
        "hint": (np.asarray(example.hint) - alpha * np.asarray(example.low)) / sigma,
    }
    assert example.hint_t.tolist() == [899] * 4
    table = np.corrcoef([x.ravel() for x in noises.values()])
    for x in noises.values():
        assert abs(x.std() - 1) < 0.1 and abs(x.mean()) < 0.15
    assert np.abs(table - np.eye(len(noises))).max() < 0.2
    assert noises["hint"].size > 500


def test_the_loss_by_time_adds_up(tiny_task: Task):
    """Another objective of the network costs another compilation: a silent one does."""
    import dataclasses

    assert isinstance(tiny_task.objective, Diffusion)
    conditioning = dataclasses.replace(
        tiny_task.objective.conditioning,
        denoiser=lambda params, x, *args, **conditions: jnp.zeros_like(x),
    )
    loss, metrics = jax.jit(Diffusion(conditioning).loss)(
        {}, tiny_task.frozen | {"denoiser": {}}, on_devices(batch(1)), jax.random.key(0)
    )

    assert float(metrics["count_by_time"].sum()) == 4
    assert float(metrics["loss_by_time"].sum()) / 4 == pytest.approx(float(loss), rel=1e-6)
