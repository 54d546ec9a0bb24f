"""Convolutions computed in other ways than they are defined."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.tiny_networks import normal
from pipelines.tiny_system import random_params

from venhancer_jax.models.functional import FunctionalModule, Params, functionalize
from venhancer_jax.models.layers.convolutions import SpatialConv, Upsample
from venhancer_jax.sharding.flops import count_flops

X = normal(0, 1, 2, 3, 5, 4)


def test_upsampling_in_phases_is_that_of_repeated_pixels():
    network, params = upsample()
    repeated, weights = X.repeat(2, axis=2).repeat(2, axis=3), params["conv.kernel"]
    wanted = convolved(repeated[0], weights) + params["conv.bias"]
    np.testing.assert_allclose(network(params, X)[0], wanted, rtol=1e-5, atol=1e-5)


def test_upsampling_in_phases_takes_four_ninths_of_the_products():
    network, params = upsample()
    whole = count_flops(lambda x: network(params, x, (6, 10)), X)
    assert count_flops(lambda x: network(params, x), X) == pytest.approx(4 / 9 * whole)


@pytest.mark.parametrize("channels", [3, 4, 7])
def test_convolutions_take_any_number_of_channels(channels: int):
    network = functionalize(lambda rngs: SpatialConv(channels, 5, dtype=jnp.float32, rngs=rngs))
    params, x = random_params(network), normal(1, 1, 2, 3, 5, channels)
    wanted = convolved(x[0], params["kernel"]) + params["bias"]
    np.testing.assert_allclose(network(params, x)[0], wanted, rtol=1e-5, atol=1e-5)


def test_input_channels_are_filled_up_to_a_multiple_of_four():
    network = functionalize(lambda rngs: SpatialConv(3, 5, dtype=jnp.float32, rngs=rngs))
    shape = jax.ShapeDtypeStruct((1, 2, 3, 5, 3), jnp.float32)
    program = jax.jit(network.__call__).lower(network.shapes, shape).as_text()
    (convolution,) = [line for line in program.splitlines() if "stablehlo.convolution" in line]
    assert "tensor<2x3x5x4xf32>, tensor<3x3x4x5xf32>" in convolution


def upsample() -> tuple[FunctionalModule, Params]:
    network = functionalize(lambda rngs: Upsample(4, dtype=jnp.float32, rngs=rngs))
    return network, random_params(network)


def convolved(x: np.ndarray, kernel: jax.Array) -> jax.Array:
    """Convolves pictures `[N, H, W, C]` with zeros around them."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
