"""Rematerialisation: the same gradient out of less memory."""

import dataclasses
import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.models.functional import Constructor, FunctionalModule, Params, functionalize
from venhancer_jax.models.remat import REMATS, rematerialised
from venhancer_jax.models.venhancer.unet3d import UNet3D, UNet3DConfig

CONFIG = UNet3DConfig.tiny(
    width=64, blocks_per_level=1, multipliers=(1,), attention_levels=(), context_width=16
)


def _random(network: FunctionalModule) -> Params:
    """Not fresh parameters, as the head of those is zero and stops the gradient."""
    generator = np.random.default_rng(0)
    return {
        name: jnp.asarray(
            0.05 * generator.standard_normal(spec.shape) + name.endswith("scale"), jnp.float32
        )
        for name, spec in network.shapes.items()
    }


X = np.random.default_rng(1).standard_normal((1, 2, 4, 4, 4), np.float32)
TEXT = np.random.default_rng(2).standard_normal((1, 4, 16), np.float32)


def network_with(remat: str) -> FunctionalModule:
    config = dataclasses.replace(CONFIG, remat=remat)
    return functionalize(Constructor(UNet3D, config))


def loss_of(network: FunctionalModule, params: Params) -> jax.Array:
    return jnp.square(network(params, X, np.array([300]), TEXT)).mean()


def residual_bytes(remat: str, capsys: pytest.CaptureFixture[str]) -> int:
    """Bytes that the forward pass keeps for the gradient, without compiling either."""
    network = network_with(remat)
    params = {name: jnp.zeros(x.shape) for name, x in network.shapes.items()}
    jax.ad_checkpoint.print_saved_residuals(functools.partial(loss_of, network), params)
    kept = [line for line in capsys.readouterr().out.splitlines() if "argument" not in line]
    shapes = [re.match(r"f32\[([\d,]*)\]", line) for line in kept]
    return sum(4 * math.prod(map(int, m[1].split(","))) for m in shapes if m and m[1])


@pytest.mark.slow
def test_the_gradient_is_that_of_the_plain_network():
    params = _random(network_with("none"))
    (loss, gradient), (other_loss, other) = (
        jax.jit(jax.value_and_grad(functools.partial(loss_of, network_with(remat))))(params)
        for remat in ("none", "blocks")
    )

    assert float(other_loss) == pytest.approx(float(loss), rel=1e-5)
    for path, expected in gradient.items():
        assert np.abs(expected).max() > 0, path
        error = np.linalg.norm(other[path] - expected) / np.linalg.norm(expected)
        assert error < 1e-5, path


@pytest.mark.slow
def test_less_is_kept(capsys: pytest.CaptureFixture[str]):
    kept = {remat: residual_bytes(remat, capsys) for remat in REMATS}

    assert 0 < kept["blocks"] < 0.5 * kept["dots"], kept
    assert kept["dots"] < 0.9 * kept["none"], kept


def test_unknown_name():
    with pytest.raises(ValueError, match="remat 'all': expected one of none, dots, blocks"):
        rematerialised(jnp.sin, "all")
