"""Rematerialisation: the same gradient out of less memory."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.models.functional import FunctionalModule, Params, functionalize
from venhancer_jax.models.remat import REMATS, rematerialised
from venhancer_jax.models.venhancer.unet3d import UNet3D, UNet3DConfig

CONFIG = UNet3DConfig.tiny(
    width=32, blocks_per_level=1, multipliers=(1,), attention_levels=(), context_width=16
)


# This pass of XLA's CPU compiler joins what was to be computed twice, and keeps it after all.
OPTIONS = {"xla_disable_hlo_passes": "cse_barrier_expander"}


@dataclasses.dataclass(frozen=True)
class Measured:
    """A gradient, and the bytes that its program takes beside inputs and outputs."""

    loss: float
    gradient: Params
    temporary: int


def _random(network: FunctionalModule) -> Params:
    """Not fresh parameters, as the head of those is zero and stops the gradient."""
    generator = np.random.default_rng(0)
    return {
        name: jnp.asarray(
            0.05 * generator.standard_normal(spec.shape) + name.endswith("scale"), jnp.float32
        )
        for name, spec in network.shapes.items()
    }


@pytest.fixture(scope="module")
def measured() -> dict[str, Measured]:
    x = jax.random.normal(jax.random.key(0), (1, 2, 8, 8, 4))
    text = jax.random.normal(jax.random.key(1), (1, 4, 16))
    found, params = {}, None
    for name in REMATS:
        config = dataclasses.replace(CONFIG, remat=name)
        network = functionalize(lambda rngs, config=config: UNet3D(config, rngs))
        params = params or _random(network)

        def loss(params: Params, network=network) -> jax.Array:
            return jnp.square(network(params, x, jnp.array([300]), text)).mean()

        program = jax.jit(jax.value_and_grad(loss)).lower(params).compile(OPTIONS)
        value, gradient = program(params)
        memory = program.memory_analysis().temp_size_in_bytes
        found[name] = Measured(float(value), jax.device_get(gradient), memory)
    return found


@pytest.mark.parametrize("name", REMATS)
def test_the_gradient_is_the_same(measured: dict[str, Measured], name: str):
    plain, other = measured["none"], measured[name]

    assert other.loss == pytest.approx(plain.loss, rel=1e-5)
    for path, expected in plain.gradient.items():
        assert np.abs(expected).max() > 0, path
        error = np.linalg.norm(other.gradient[path] - expected) / np.linalg.norm(expected)
        assert error < 1e-5, path


def test_less_is_kept(measured: dict[str, Measured]):
    kept = {name: result.temporary for name, result in measured.items()}

    assert kept["blocks"] < 0.8 * kept["none"], kept
    assert kept["blocks"] <= kept["dots"] < kept["none"], kept


def test_unknown_name():
    with pytest.raises(ValueError, match="remat 'all': expected one of none, dots, blocks"):
        rematerialised(jnp.sin, "all")
