"""The image diffusers: the video's prior on one frame, Stable Diffusion 2.1, as a plain loop."""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pipelines.genve import image_on_devices
from pipelines.tiny_system import CONFIGS, random_params
from training import forked

from venhancer_jax.diffusion.calibration import calibration_weights
from venhancer_jax.diffusion.noise import CounterNoise
from venhancer_jax.diffusion.schedule import (
    Schedule,
    cosine_interpolated_schedule,
    scaled_linear_schedule,
)
from venhancer_jax.errors import InputError
from venhancer_jax.models.genve.sd21 import SD21Config
from venhancer_jax.models.int8 import quantised
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.genve.image_diffuser import LatentDiffuser, prior_diffuser
from venhancer_jax.pipelines.genve.sd21 import sd21_diffuser
from venhancer_jax.pipelines.system import LoadedNetwork

CONFIG = CONFIGS["venhancer"]
SD21 = SD21Config.tiny(context_width=CONFIG.context_width)
NOISE = CounterNoise(7)
Z = CounterNoise(1)("z", 0, (1, 1, 10, 12, 4))
TEXT = CounterNoise(2)("text", 0, (2, 5, CONFIG.context_width))


@dataclasses.dataclass(frozen=True)
class Options:
    image_start: int = 600
    image_steps: int = 3
    image_guidance: float = 7.5
    guidance_rescale: float = 0.2
    tile: str | int = "auto"
    tile_overlap: int | None = None


@functools.cache
def denoiser(name: str = "venhancer") -> LoadedNetwork:
    config = CONFIG if name == "venhancer" else SD21
    network = catalog.build(name, config)
    return LoadedNetwork(config, network, random_params(network))


@functools.cache
def prior() -> LatentDiffuser:
    return prior_diffuser(denoiser(), pixels=2)


@functools.cache
def image_model() -> LatentDiffuser:
    return sd21_diffuser(
        denoiser("sd21"), latent_channels=4, context_width=CONFIG.context_width, pixels=2
    )


@functools.cache
def sharpened() -> np.ndarray:
    return np.asarray(prior().sharpen(Z, TEXT, Options(), noise=NOISE))


@jax.jit
def prior_v(x, t) -> jax.Array:
    """Predicts v for one frame; the ControlNet has no part in it."""
    return denoiser().network.bind(denoiser().params).unet(x, t, TEXT)


@jax.jit
def image_v(x, t) -> jax.Array:
    return denoiser("sd21").network(denoiser("sd21").params, x, t, TEXT)


def plain_loop(
    predict: Callable[..., jax.Array], schedule: Schedule, options: Options
) -> np.ndarray:
    """DDIM with guidance and equation 3, in float64 around the network."""
    t = np.round(options.image_start - np.arange(3) * (options.image_start + 1) / 3).astype(int)
    alphas, sigmas = schedule.alphas.astype(float), schedule.sigmas.astype(float)
    z = np.asarray(Z, float)
    x = alphas[t[0]] * z + sigmas[t[0]] * np.asarray(NOISE("image_start", 0, Z.shape))
    for i in range(3):
        pair = np.concatenate([x, x]).astype(np.float32)
        positive, negative = np.asarray(predict(pair, np.full(2, t[i])), float)
        v = negative + options.image_guidance * (positive - negative)
        v *= 0.2 * positive.std(ddof=1) / v.std(ddof=1) + 0.8
        x0, noise = alphas[t[i]] * x - sigmas[t[i]] * v, alphas[t[i]] * v + sigmas[t[i]] * x
        if i == 2:
            return x0
        share = calibration_weights([t[i + 1]], options.image_start)[0]
        fresh = np.asarray(NOISE("calibration", i, Z.shape))
        noised = alphas[t[i + 1]] * z + sigmas[t[i + 1]] * fresh
        x = alphas[t[i + 1]] * x0 + sigmas[t[i + 1]] * noise
        x = (1 - share) * x + share * noised
    raise AssertionError


def error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def test_the_prior_is_the_plain_loop_over_the_unet():
    expected = plain_loop(prior_v, cosine_interpolated_schedule(), Options())

    assert error(sharpened(), expected) < 1e-4


def test_stable_diffusion_is_the_same_loop_with_its_own_network_and_schedule():
    expected = plain_loop(image_v, scaled_linear_schedule(0.00085, 0.012), Options())

    found = image_model().sharpen(Z, TEXT, Options(), noise=NOISE)

    assert error(np.asarray(found), expected) < 1e-4


@pytest.mark.parametrize(
    ("video", "message"),
    [
        ((16, CONFIG.context_width), "latents of 4 channels, expected 16"),
        ((4, 7), "text features of 64 channels, expected 7"),
    ],
)
def test_a_video_of_other_latents_is_refused(video: tuple[int, int], message: str):
    channels, width = video
    with pytest.raises(InputError, match=f"{message}.* use reference=prior"):
        sd21_diffuser(denoiser("sd21"), latent_channels=channels, context_width=width)


def test_the_controlnet_has_no_part_in_it():
    changed = {
        name: jnp.full_like(x, jnp.nan) if name.startswith("controlnet.") else x
        for name, x in denoiser().params.items()
    }
    other = prior_diffuser(LoadedNetwork(CONFIG, denoiser().network, changed), pixels=2)

    found = np.asarray(other.sharpen(Z, TEXT, Options(), noise=NOISE))

    assert found.tobytes() == sharpened().tobytes()


def test_a_prior_that_is_built_again_compiles_nothing():
    again = prior_diffuser(denoiser(), pixels=2).denoiser.network

    assert again == prior().denoiser.network
    assert hash(again) == hash(prior().denoiser.network)
    assert again != denoiser().network


def test_guidance_of_one_needs_no_negative_prompt():
    options = Options(image_guidance=1.0)
    both = prior().sharpen(Z, TEXT, options, noise=NOISE)
    alone = prior().sharpen(Z, TEXT[:1], options, noise=NOISE)

    assert np.asarray(both).tobytes() == np.asarray(alone).tobytes()
    assert error(np.asarray(alone), sharpened()) > 1e-2


@pytest.mark.slow
def test_integers_serve_as_well():
    full = denoiser()
    network, params = quantised(full.network, full.params, CONFIG)
    integers = prior_diffuser(LoadedNetwork(CONFIG, network, params), pixels=2)

    found = np.asarray(integers.sharpen(Z, TEXT, Options(), noise=NOISE))

    assert 1e-4 < error(found, sharpened()) < 0.3


def test_tiles_have_the_sizes_that_the_network_takes():
    boxes = prior().boxes((54, 66), Options(tile=32, tile_overlap=4))

    assert len(boxes) > 4
    assert {(box.shape[1] % 2, box.shape[2] % 2) for box in boxes} == {(0, 0)}
    total = np.zeros((54, 66))
    for box in boxes:
        rows, columns = box.rows, box.columns
        weights = np.outer(rows.weights, columns.weights)
        total[rows.start : rows.stop, columns.start : columns.stop] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.slow
def test_eight_devices_sharpen_as_one(tmp_path: Path):
    path = tmp_path / "report.json"
    forked.run(tmp_path / "output.txt", image_on_devices.write, path, devices=8)
    report = json.loads(path.read_text())

    assert len(report) == 4
    assert all(boxes > 4 for name, (boxes, _) in report.items() if "tiles" in name)
    assert max(distance for _, distance in report.values()) < 1e-5


def test_progress_counts_the_steps():
    seen = []
    prior().sharpen(Z, TEXT, Options(), noise=NOISE, progress=lambda *facts: seen.append(facts))

    assert seen == [("image", 1, 3), ("image", 2, 3), ("image", 3, 3)]


def test_steps_begin_at_the_start_and_end_clean():
    steps = prior().plan_steps(Options(image_steps=30))

    assert (len(steps), steps.t[0], steps.t[-1]) == (30, 600, 19)
    assert (steps.c_x[-1], steps.c_x0[-1]) == (0, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(image_start=0), "image_start 0: expected from 1 to 999"),
        (Options(image_start=1000), "image_start 1000: expected from 1 to 999"),
        (Options(image_start=20, image_steps=21), "image_steps 21: expected from 1 to image_start"),
        (Options(image_steps=0), "image_steps 0: expected from 1"),
    ],
)
def test_wrong_options(options: Options, message: str):
    with pytest.raises(InputError, match=message):
        prior().plan_steps(options)
