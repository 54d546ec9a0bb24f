"""The denoiser in 8-bit integers."""

import functools
import sys

import jax
import jax.numpy as jnp
import pytest
from models.tiny_networks import CONDITIONS, CONFIG, TEXT, T, X, call, controlled, distance, text_kv

from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.int8 import quantised


@functools.cache
def integers() -> tuple[FunctionalModule, Params]:
    """Returns the shared network in 8-bit integers."""
    return quantised(*controlled(), CONFIG)


@pytest.mark.slow
def test_every_kernel_but_those_of_the_text_is_of_integers():
    (full, params), (network, quantities) = controlled(), integers()
    kernels = {name for name in full.shapes if name.endswith("kernel")}
    of_text = {name for name in kernels if "spatial.block.attn2.to_k" in name}
    of_text |= {name for name in kernels if "spatial.block.attn2.to_v" in name}

    assert len(of_text) == 12
    assert quantities.keys() == network.shapes.keys()
    for name in kernels - of_text:
        values, scale = (quantities[f"{name}.array.{part}"] for part in ("qvalue", "scale"))
        assert values.dtype == jnp.int8
        assert scale.size == values.shape[-1] == full.shapes[name].shape[-1]
        assert float(jnp.abs(values * scale - params[name]).max() / scale.max()) < 0.51
    assert not [name for name in network.shapes if name in kernels - of_text]
    for name in of_text:
        assert jnp.array_equal(quantities[name], params[name])


@pytest.mark.slow
def test_close_to_the_full_network():
    text = text_kv(*controlled(), TEXT)
    full = call(*controlled(), X, T, text, CONDITIONS)
    low = call(*integers(), X, T, text, CONDITIONS)

    assert low.dtype == jnp.float32
    assert 1e-3 < distance(low, full) < 0.1


def test_layers_multiply_integers_and_attention_does_not():
    network, params = integers()
    text = text_kv(*controlled(), TEXT)
    jaxpr = jax.make_jaxpr(lambda params: network(params, X, T, text, **CONDITIONS))(params)
    results = [
        line.split("=")[0].split(":")[-1].split("[")[0].strip()
        for line in str(jaxpr).splitlines()
        if "= dot_general[" in line or "= conv_general_dilated[" in line
    ]

    attentions = sum(name.endswith("to_out.kernel") for name in controlled()[0].shapes)
    assert results.count("f32") == 2 * attentions
    layers = sum(name.endswith("qvalue") for name in network.shapes)
    # The time embedding serves the noise level of the hint as well.
    assert results.count("i32") == layers + 2


def test_integers_are_another_network():
    assert integers()[0] != controlled()[0]


def test_without_qwix(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "qwix", None)

    with pytest.raises(InputError, match=r"weights 'int8' need the package qwix.*\[int8\]"):
        quantised(*controlled(), CONFIG)
