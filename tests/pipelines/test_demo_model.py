"""The model that ships with the package does what it is there for."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from venhancer_jax.assets import demo_clip, demo_weights
from venhancer_jax.configs import demo
from venhancer_jax.data.resample import resample, to_uint8
from venhancer_jax.metrics.lpips import lpips
from venhancer_jax.pipelines.config import options_of
from venhancer_jax.pipelines.venhancer.load import demo_venhancer
from venhancer_jax.video import probe, read_frames


def test_it_is_small_enough_to_ship():
    size = sum(path.stat().st_size for path in demo_weights().rglob("*") if path.is_file())

    assert size < 20 * 2**20


def enhanced(frames: np.ndarray, *, seed: int) -> np.ndarray:
    config = demo.get_config().unlock()
    config.update(up_scale=2.0, seed=seed)
    options = options_of(config)
    return np.stack([*demo_venhancer().enhance(frames, rate=Fraction(15, 2), options=options)])


def test_enhanced_frames_are_nearer_than_enlarged_ones():
    """The clip of the package, halved in space and time, against itself."""
    info = probe(Path(demo_clip()))
    target = np.stack([*read_frames(info)])[:5]
    height, width = target.shape[1:3]
    small = to_uint8(resample(target[::2].astype(np.float32), (height // 2, width // 2), "area"))
    found = enhanced(small, seed=666)
    assert len(found) == 6, "twice the rate"

    enlarged = to_uint8(resample(small.astype(np.float32), (height, width), "bicubic"))
    keys = lpips(found[:5:2], target[::2]) / lpips(enlarged, target[::2])
    assert keys.max() < 0.7
    blended = to_uint8((enlarged[:-1].astype(np.float32) + enlarged[1:]) / 2)
    interpolation = lpips(found[1:5:2], target[1::2]) / lpips(blended, target[1::2])
    assert interpolation.max() < 0.8


@pytest.mark.slow
def test_the_same_frames_again():
    """Nothing is drawn: the seed does not matter."""
    frames = np.stack([*read_frames(probe(Path(demo_clip())))])[:3, :36, :64]
    assert (enhanced(frames, seed=1) == enhanced(frames, seed=2)).all()


@pytest.mark.parametrize("name", ["venhancer", "vae"])
def test_half_precision(name: str):
    from venhancer_jax.weights import iterate_weights

    assert {x.dtype for _, x in iterate_weights(demo_weights() / name)} == {np.dtype(np.float16)}
