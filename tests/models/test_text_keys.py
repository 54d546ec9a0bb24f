"""Keys and values of the text, projected beforehand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pipelines.tiny_system import random_params

from venhancer_jax.models.layers.text_kv_cache import compute_text_kv, context_for, text_for
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.sharding.flops import count_flops

CONFIG = UNet3DConfig.tiny(blocks_per_level=1, multipliers=(1, 2), attention_levels=(0,))
NETWORK = catalog.build("venhancer", CONFIG)
PARAMS = random_params(NETWORK)
X = jax.random.normal(jax.random.key(0), (2, 3, 6, 4, 4))
T = jnp.array([500, 500])
TEXT = jax.random.normal(jax.random.key(1), (2, 77, CONFIG.context_width))


def project(params, text):
    return compute_text_kv(NETWORK.bind(params), text)


def test_every_cross_attention_has_its_keys():
    names = {
        name.removesuffix(".block.attn2.to_k.kernel")
        for name in NETWORK.shapes
        if name.endswith("spatial.block.attn2.to_k.kernel")
    }
    shapes = jax.eval_shape(project, NETWORK.shapes, TEXT)

    assert len(names) == 6  # a block down, the middle, twice; and two up
    assert shapes.keys() == names
    for name, (keys, values) in shapes.items():
        width = NETWORK.shapes[f"{name}.block.attn2.to_k.kernel"].shape[1]
        assert keys.shape == values.shape == (2, 77, width)


def test_nothing_changes_but_the_rounding():
    run = jax.jit(NETWORK.__call__)

    of_keys = run(PARAMS, X, T, jax.jit(project)(PARAMS, TEXT))
    of_features = run(PARAMS, X, T, TEXT)

    np.testing.assert_allclose(of_keys, of_features, atol=2e-6 * float(jnp.abs(of_features).max()))


def test_the_step_no_longer_projects():
    keys = jax.eval_shape(project, NETWORK.shapes, TEXT)

    saved = count_flops(NETWORK, NETWORK.shapes, X, T, TEXT) - count_flops(
        NETWORK, NETWORK.shapes, X, T, keys
    )

    assert saved == count_flops(project, NETWORK.shapes, TEXT) > 0


def test_every_block_takes_its_own():
    keys = project(PARAMS, TEXT)
    run = jax.jit(NETWORK.__call__)
    usual = run(PARAMS, X, T, keys)

    for name, (k, v) in keys.items():
        changed = run(PARAMS, X, T, keys | {name: (k, v + 1)})
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
