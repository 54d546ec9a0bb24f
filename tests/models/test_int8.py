"""The denoiser in 8-bit integers."""

import sys

import jax
import jax.numpy as jnp
import pytest
from pipelines.tiny_system import random_params

from venhancer_jax.errors import InputError
from venhancer_jax.models.layers.text_kv_cache import compute_text_kv
from venhancer_jax.models.venhancer.int8 import quantised
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines import catalog

CONFIG = UNet3DConfig.tiny(blocks_per_level=1, multipliers=(1, 2), attention_levels=(0,))
FULL = catalog.build("venhancer", CONFIG)
PARAMS = {name: jnp.asarray(x) for name, x in random_params(FULL).items()}
INT8, INTEGERS = quantised(FULL, PARAMS, CONFIG)
X = jax.random.normal(jax.random.key(0), (1, 3, 6, 4, 4))
T = jnp.array([500])
TEXT = jax.random.normal(jax.random.key(1), (1, 5, CONFIG.context_width))
CONDITIONS = {
    "hint": jax.random.normal(jax.random.key(2), (1, 2, 6, 4, 4)),
    "hint_t": jnp.array([199]),
    "scale": jnp.array([4.0]),
    "key_index": jnp.array([[0, -1, 1]]),
}


def call(network, params, x):
    keys = compute_text_kv(network.bind(params), TEXT)
    return network(params, x, T, keys, **CONDITIONS)


def test_every_kernel_but_those_of_the_text_is_of_integers():
    kernels = {name for name in FULL.shapes if name.endswith("kernel")}
    of_text = {name for name in kernels if "spatial.block.attn2.to_k" in name}
    of_text |= {name for name in kernels if "spatial.block.attn2.to_v" in name}

    assert len(of_text) == 12
    assert INTEGERS.keys() == INT8.shapes.keys()
    for name in kernels - of_text:
        values, scale = (INTEGERS[f"{name}.array.{part}"] for part in ("qvalue", "scale"))
        assert values.dtype == jnp.int8
        assert scale.size == values.shape[-1] == FULL.shapes[name].shape[-1]
        assert float(jnp.abs(values * scale - PARAMS[name]).max() / scale.max()) < 0.51
    assert not [name for name in INT8.shapes if name in kernels - of_text]
    for name in of_text:
        assert jnp.array_equal(INTEGERS[name], PARAMS[name])


def test_close_to_the_full_network():
    full = jax.jit(lambda params, x: call(FULL, params, x))(PARAMS, X)
    low = jax.jit(lambda params, x: call(INT8, params, x))(INTEGERS, X)

    assert low.dtype == jnp.float32
    assert 1e-3 < float(jnp.linalg.norm(low - full) / jnp.linalg.norm(full)) < 0.1


def test_layers_multiply_integers_and_attention_does_not():
    text = str(jax.make_jaxpr(lambda params: call(INT8, params, X))(INTEGERS))
    results = [
        line.split("=")[0].split(":")[-1].split("[")[0].strip()
        for line in text.splitlines()
        if "= dot_general[" in line or "= conv_general_dilated[" in line
    ]

    attentions = sum(name.endswith("to_out.kernel") for name in FULL.shapes)
    projections = 12
    assert results.count("f32") == 2 * attentions + projections
    layers = sum(name.endswith("qvalue") for name in INT8.shapes)
    # The time embedding serves the noise level of the hint as well.
    assert results.count("i32") == layers + 2


def test_without_qwix(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "qwix", None)

    with pytest.raises(InputError, match=r"weights 'int8' need the package qwix.*\[int8\]"):
        quantised(FULL, PARAMS, CONFIG)
