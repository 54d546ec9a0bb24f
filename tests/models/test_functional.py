"""Networks as pure functions of named parameters."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from venhancer_jax.models.functional import (
    Constructor,
    FunctionalModule,
    Params,
    count_parameters,
    functionalize,
    with_prefix,
)


class Toy(nnx.Module):
    """Two layers in a list, and a bare parameter."""

    def __init__(self, width: int, rngs: nnx.Rngs):
        self.layers = nnx.List([nnx.Linear(width, width, rngs=rngs) for _ in range(2)])
        self.gain = nnx.Param(jnp.full(width, 3, jnp.bfloat16))

    def __call__(self, x: jax.Array, *, shift: float = 0) -> jax.Array:
        for layer in self.layers:
            x = layer(x)
        return x * self.gain[...] + shift

    def first(self, x: jax.Array) -> jax.Array:
        return self.layers[0](x)


NETWORK = functionalize(lambda rngs: Toy(4, rngs))
PARAMS = NETWORK.init(jax.random.key(0))
X = np.random.default_rng(0).standard_normal((2, 4), np.float32)


def test_names_shapes_and_types():
    found = {name: (leaf.shape, leaf.dtype) for name, leaf in NETWORK.shapes.items()}
    assert found == {
        "gain": ((4,), jnp.bfloat16),
        "layers.0.kernel": ((4, 4), jnp.float32),
        "layers.0.bias": ((4,), jnp.float32),
        "layers.1.kernel": ((4, 4), jnp.float32),
        "layers.1.bias": ((4,), jnp.float32),
    }


def test_fresh_parameters_are_what_the_shapes_say():
    assert list(PARAMS) == list(NETWORK.shapes)
    for name, leaf in NETWORK.shapes.items():
        assert (PARAMS[name].shape, PARAMS[name].dtype) == (leaf.shape, leaf.dtype)
    assert (PARAMS["gain"] == 3).all()


def test_every_parameter_has_its_own_key():
    kernels = [PARAMS["layers.0.kernel"], PARAMS["layers.1.kernel"]]
    kernels.append(NETWORK.init(jax.random.key(1))["layers.0.kernel"])
    assert len(np.unique(np.stack(kernels))) == 3 * 16
    again = NETWORK.init(jax.random.key(0))
    np.testing.assert_array_equal(again["layers.1.kernel"], kernels[1])


def test_call_uses_each_parameter_in_its_place():
    expected = X
    for i in range(2):
        kernel, bias = PARAMS[f"layers.{i}.kernel"], PARAMS[f"layers.{i}.bias"]
        expected = expected @ np.asarray(kernel) + np.asarray(bias)
    found = NETWORK(PARAMS, X, shift=0.5)
    np.testing.assert_allclose(found, expected * 3 + 0.5, rtol=1e-5, atol=1e-5)


def test_parts_of_a_bound_module():
    np.testing.assert_allclose(
        NETWORK.bind(PARAMS).first(X), X @ np.asarray(PARAMS["layers.0.kernel"]), rtol=1e-5
    )


def test_more_parameters_than_needed_are_ignored_and_fewer_are_not():
    more = PARAMS | {"other": jnp.ones(1)}
    np.testing.assert_array_equal(NETWORK(more, X), NETWORK(PARAMS, X))
    fewer = {name: x for name, x in PARAMS.items() if name != "gain"}
    with pytest.raises(KeyError, match="gain"):
        NETWORK(fewer, X)


def test_static_in_jit():
    traced = []

    @partial(jax.jit, static_argnums=0)
    def run(network: FunctionalModule, params: Params, x: jax.Array) -> jax.Array:
        traced.append(network)
        return network(params, x)

    for _ in range(2):
        np.testing.assert_allclose(run(NETWORK, PARAMS, X), NETWORK(PARAMS, X), rtol=1e-6)
    assert len(traced) == 1


def test_equal_constructors_are_traced_once():
    first, again, other = (functionalize(Constructor(Toy, width)) for width in (4, 4, 5))
    assert again is first
    assert other.shapes != first.shapes


def test_a_network_of_any_size_takes_no_memory():
    huge = functionalize(lambda rngs: Toy(2**20, rngs))
    assert count_parameters(huge.shapes) == 2 * (2**40 + 2**20) + 2**20


def test_count_parameters():
    assert count_parameters(PARAMS) == count_parameters(NETWORK.shapes) == 2 * (16 + 4) + 4


def test_with_prefix():
    params = {"a.b": jnp.ones(1), "a.c.a.d": jnp.ones(2), "ab.c": jnp.ones(3), "x.a.b": jnp.ones(4)}
    assert {name: x.size for name, x in with_prefix(params, "a").items()} == {"b": 1, "c.a.d": 2}
