"""Encoding in tiles, with a VAE whose convolutions are zero: latents see their own pixels alone."""

import numpy as np
import pytest
from pipelines.tiny_system import clip, random_params

from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.tiles import Tiling
from venhancer_jax.pipelines.venhancer.compat import COMPATS
from venhancer_jax.pipelines.venhancer.encode import EncodedClip, encode_clip
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
        quirks=COMPATS["official"],
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
