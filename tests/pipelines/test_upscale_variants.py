"""Upscale-A-Video on eight devices, with reused results and in integers, against the whole work."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pipelines.tiny_system import clip
from pipelines.tiny_upscaler import tiny_upscaler
from pipelines.upscale_on_devices import Cases, enhanced, on_eight

from venhancer_jax.models.int8 import quantised
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions
from venhancer_jax.pipelines.upscale_a_video.system import UpscaleAVideo

pytestmark = pytest.mark.slow

# In the first the guidance pair is on two devices, and frames, which four do not divide, on four.
CASES: Cases = {
    "frames": ((3, 16, 24), {}, {}),
    "windows": ((11, 16, 24), {"data": 8}, {}),
    "rows": ((11, 16, 24), {"data": 2, "rows": 4}, {}),
    "tiles": ((3, 24, 40), {}, {"tile": 16, "tile_overlap": 0, "fidelity": 0.5}),
    "published": ((3, 16, 24), {}, {"compat": "official"}),
}


def test_eight_devices_compute_what_one_computes(tmp_path: Path):
    """The quick tests of the networks on eight devices are in their rooms."""
    found = on_eight(tmp_path / "eight.npz", CASES)
    assert found["devices"] == 8
    for name, (size, _, changes) in CASES.items():
        for kind, one in enhanced(size, None, changes).items():
            difference = np.linalg.norm(found[f"{name} {kind}"] - one)
            assert difference < 1e-5 * np.linalg.norm(one), (name, kind)


def denoise(system: UpscaleAVideo, **changes) -> jax.Array:
    """Latents of three frames."""
    options = UpscaleAVideoOptions(**({"steps": 2, "flow": "dis"} | changes))
    return system.denoise_clip(clip(3, 16, 24), rate=Fraction(10), options=options).latents[0]


@pytest.mark.parametrize("changes", [{"deep_reuse": 2}, {"guidance_reuse": 2}], ids=str)
def test_reuse_is_close_to_the_whole_work(changes: dict):
    whole, cheap = (denoise(tiny_upscaler(), steps=4, **each) for each in ({}, changes))
    distance = float(jnp.linalg.norm(cheap - whole) / jnp.linalg.norm(whole))
    assert 0 < distance < 0.5


def test_integers_are_close_to_the_full_network():
    full = tiny_upscaler().denoiser
    network, params = quantised(full.network, full.params, full.config)
    integers = LoadedNetwork(full.config, network, params)
    system = dataclasses.replace(tiny_upscaler(), denoiser=integers)
    low, whole = (denoise(each, guidance_scale=2.0) for each in (system, tiny_upscaler()))
    distance = float(jnp.linalg.norm(low - whole) / jnp.linalg.norm(whole))
    assert 0 < distance < 0.2
