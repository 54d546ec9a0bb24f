"""Keys and values of the text, projected beforehand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.tiny_networks import CONDITIONS, TEXT, T, X, call, controlled, text_kv

from venhancer_jax.models.layers.text_kv_cache import compute_text_kv, context_for, text_for
from venhancer_jax.sharding.flops import count_flops


def project(params, text):
    return compute_text_kv(controlled()[0].bind(params), text)


def test_every_cross_attention_has_its_keys():
    shapes = controlled()[0].shapes
    names = {
        name.removesuffix(".block.attn2.to_k.kernel")
        for name in shapes
        if name.endswith("spatial.block.attn2.to_k.kernel")
    }
    cache = jax.eval_shape(project, shapes, TEXT)

    assert len(names) == 6  # a block down and the middle, in both networks, and two up
    assert cache.keys() == names
    for name, (keys, values) in cache.items():
        width = shapes[f"{name}.block.attn2.to_k.kernel"].shape[1]
        assert keys.shape == values.shape == (*TEXT.shape[:2], width)


@pytest.mark.slow
def test_nothing_changes_but_the_rounding():
    of_keys = call(*controlled(), X, T, text_kv(*controlled(), TEXT), CONDITIONS)
    of_features = call(*controlled(), X, T, TEXT, CONDITIONS)

    np.testing.assert_allclose(of_keys, of_features, atol=2e-6 * float(jnp.abs(of_features).max()))


def test_the_step_no_longer_projects():
    network = controlled()[0]
    keys = jax.eval_shape(project, network.shapes, TEXT)

    saved = count_flops(network, network.shapes, X, T, TEXT) - count_flops(
        network, network.shapes, X, T, keys
    )

    assert saved == count_flops(project, network.shapes, TEXT) > 0


@pytest.mark.slow
def test_every_block_takes_its_own():
    keys = text_kv(*controlled(), TEXT)
    usual = call(*controlled(), X, T, keys, CONDITIONS)

    for name, (k, v) in keys.items():
        changed = call(*controlled(), X, T, keys | {name: (k, v + 1)}, CONDITIONS)
        assert float(jnp.abs(changed - usual).max()) > 1e-4, name


def test_parts():
    pair = (TEXT, TEXT)
    keys = {"unet.encoder.spatial": pair, "controlnet.encoder.spatial": (TEXT, -TEXT)}

    assert text_for(keys, "unet") == {"encoder.spatial": pair}
    assert text_for(TEXT, "unet") is TEXT
    assert context_for({"spatial": pair}, "spatial") is pair
    assert context_for(TEXT, "spatial") is TEXT
    with pytest.raises(KeyError, match="spatial"):
        context_for(text_for(keys, "encoder"), "spatial")
