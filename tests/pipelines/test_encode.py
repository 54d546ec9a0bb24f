"""Encoding in tiles, with a VAE whose latents see their own pixels alone; frames between frames."""

import numpy as np
import pytest
from pipelines.tiny_system import clip, random_params

from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.tiles import Tiling
from venhancer_jax.pipelines.venhancer.encode import (
    EncodedClip,
    _interpolate,
    encode_clip,
    resize_frame,
)
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import SpacePlan


@pytest.fixture(scope="module")
def vae() -> LoadedNetwork:
    config = VAEConfig.demo(channels=(8, 8, 8), blocks_per_level=0)
    network = catalog.build("vae", config)
    params = {
        name: values if name.startswith("to_latent.") else np.zeros_like(values)
        for name, values in random_params(network).items()
    }
    return LoadedNetwork(config, network, params)


def encode(vae: LoadedNetwork, tiling: Tiling) -> EncodedClip:
    return encode_clip(
        vae,
        clip(2, 24, 40),
        plan_space=lambda height, width: SpacePlan(
            size=(height, width), padding=(0, 0, 0, 0), scale=1.0
        ),
        tiling=tiling,
        options=VEnhancerOptions(compat="official"),
        interpolated=0,
        progress=lambda stage, done, total: None,
    )


def test_tiles_have_the_latents_of_whole_frames(vae: LoadedNetwork):
    whole = encode(vae, Tiling(margin=0))
    tiled = encode(vae, Tiling(margin=1, area=24))
    assert whole.mean.shape == tiled.mean.shape == (1, 2, 6, 10, 16)
    assert float(np.ptp(whole.mean)) > 0.5
    np.testing.assert_allclose(tiled.mean, whole.mean, atol=1e-5)
    assert tiled.std is not None and whole.std is not None
    np.testing.assert_allclose(tiled.std, whole.std, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_frames_between_are_as_fine_as_the_input(dtype: type):
    levels = np.linspace(-1, 1, 24 * 32 * 3, dtype=np.float32).reshape(24, 32, 3)
    _, between, _ = _interpolate([levels, levels], 1, np.dtype(dtype))
    found = (between + 1) * 127.5
    assert (np.abs(found - np.rint(found)).max() < 0.01) == (dtype == np.uint8)
    assert np.abs(between - levels).max() < 0.02


def test_bicubic_enlargement_is_sharper_and_stays_in_range():
    frame = np.zeros((12, 16, 3), np.uint8)
    frame[4:8, 6:10] = 255
    bilinear, bicubic = (
        resize_frame(frame, (24, 32), VEnhancerOptions(enlargement=name))
        for name in ("bilinear", "bicubic")
    )
    assert np.abs(np.diff(bicubic, axis=0)).max() > 1.1 * np.abs(np.diff(bilinear, axis=0)).max()
    assert np.abs(bicubic).max() <= 1
    shrunk = [
        resize_frame(frame, (6, 8), VEnhancerOptions(enlargement=name))
        for name in ("bilinear", "bicubic")
    ]
    np.testing.assert_array_equal(*shrunk)
