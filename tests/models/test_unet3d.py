"""UNet and ControlNet: sizes, conditions, starts at zero."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.models.functional import FunctionalModule, Params, count_parameters, with_prefix
from venhancer_jax.models.venhancer.controlnet import key_index_of_mask
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines import catalog

CONFIG = UNet3DConfig.tiny(blocks_per_level=1, multipliers=(1, 2), attention_levels=(0,))
F, H, W, K = 3, 6, 4, 2


def _random_params(network: FunctionalModule) -> Params:
    """No layer at zero: every input must matter."""
    params = {}
    for name, spec in network.shapes.items():
        draw = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(spec.shape)
        near_one = name.endswith("scale")
        fan_in = max(1, int(np.prod(spec.shape[:-1])))
        gain = 0.1 if len(spec.shape) < 2 else 1 / np.sqrt(fan_in)
        params[name] = jnp.asarray(gain * draw + near_one, jnp.float32)
    return params


def _normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.fixture(scope="module")
def network() -> FunctionalModule:
    return catalog.build("venhancer", CONFIG)


@pytest.fixture(scope="module")
def params(network: FunctionalModule) -> Params:
    return _random_params(network)


@pytest.fixture(scope="module")
def inputs() -> tuple[jax.Array, jax.Array, jax.Array]:
    return _normal(0, 1, F, H, W, 4), jnp.array([500]), _normal(1, 1, 5, CONFIG.context_width)


@pytest.fixture(scope="module")
def conditions() -> dict[str, jax.Array]:
    return {
        "hint": _normal(2, 1, K, H, W, 4),
        "hint_t": jnp.array([199]),
        "scale": jnp.array([4.0]),
        "key_index": jnp.array([[0, -1, 1]]),
    }


@pytest.fixture(scope="module")
def run(network: FunctionalModule):
    return jax.jit(network.__call__)


def _distance(a: jax.Array, b: jax.Array) -> float:
    return float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))


def test_published_size():
    shapes = catalog.build("venhancer", UNet3DConfig.venhancer()).shapes

    assert len(shapes) == 2180
    assert count_parameters(with_prefix(shapes, "unet")) == 1_411_233_860
    assert count_parameters(with_prefix(shapes, "controlnet")) == 633_575_936


def test_fresh_controlnet_changes_nothing(network: FunctionalModule, inputs, conditions):
    params = network.init(jax.random.key(0))
    # The head starts at zero too: give it something to say.
    params["unet.head.conv.kernel"] = _normal(3, *params["unet.head.conv.kernel"].shape)

    def both(params: Params) -> tuple[jax.Array, jax.Array]:
        module = network.bind(params)
        return module(*inputs, **conditions), module.unet(*inputs)

    controlled, alone = jax.jit(both)(params)

    assert float(jnp.abs(alone).max()) > 0.1
    assert jnp.array_equal(controlled, alone)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hint", _normal(9, 1, K, H, W, 4)),
        ("hint_t", jnp.array([0])),
        ("scale", jnp.array([1.0])),
        ("key_index", jnp.array([[-1, 0, 1]])),
    ],
)
def test_every_condition_matters(run, params, inputs, conditions, name, value):
    with_it = run(params, *inputs, **conditions)

    changed = run(params, *inputs, **(conditions | {name: value}))

    assert _distance(changed, with_it) > 1e-3


def test_only_key_frames_are_told_of_noise_level_scale_and_hint(network, params, conditions):
    control = network.bind(params).controlnet
    is_key = conditions["key_index"] >= 0
    t = jnp.array([500])

    plain = control.embed(t, None, None, is_key)
    told = control.embed(t, conditions["hint_t"], conditions["scale"], is_key)
    hints = control.place_hints(conditions["hint"], conditions["key_index"])

    assert jnp.array_equal(told[:, 1], plain[:, 0])
    assert jnp.abs(told[:, ::2] - plain).max(axis=-1).min() > 1e-3
    assert jnp.abs(hints).max(axis=(0, 2, 3, 4))[1] == 0
    assert jnp.array_equal(hints[:, 2], control.hint_conv(conditions["hint"])[:, 1])


def test_without_a_mask_the_hint_has_no_place(run, params, inputs, conditions):
    rest = {k: v for k, v in conditions.items() if k != "key_index"}

    with_hint = run(params, *inputs, **rest)
    other_hint = run(params, *inputs, **(rest | {"hint": rest["hint"] + 1}))
    other_scale = run(params, *inputs, **(rest | {"scale": rest["scale"] * 2}))

    assert jnp.array_equal(with_hint, other_hint)
    assert _distance(other_scale, with_hint) > 1e-3


def test_mask_of_the_first_release():
    mask = jnp.array([[0, 1, 1, 0, 0], [1, 0, 1, 1, 0]])

    index = key_index_of_mask(mask)

    assert index.tolist() == [[0, -1, -1, 1, 2], [-1, 0, -1, -1, 1]]


def test_temporal_modules_see_all_frames(run, params, inputs, conditions):
    x, t, text = inputs
    far = x.at[:, -1].add(1.0)

    near = run(params, x, t, text, **conditions)
    moved = run(params, far, t, text, **conditions)

    assert _distance(moved[:, 0], near[:, 0]) > 1e-4


def test_chunks_of_pixels_change_nothing(params, inputs, conditions):
    few = UNet3DConfig.tiny(
        blocks_per_level=1, multipliers=(1, 2), attention_levels=(0,), temporal_pixels_at_once=5
    )
    whole = catalog.build("venhancer", CONFIG)
    parts = catalog.build("venhancer", few)

    a = jax.jit(whole.__call__)(params, *inputs, **conditions)
    b = jax.jit(parts.__call__)(params, *inputs, **conditions)

    assert _distance(b, a) < 1e-6


def test_bfloat16_stays_close_and_answers_in_float32(params, inputs, conditions):
    config = UNet3DConfig.tiny(
        blocks_per_level=1, multipliers=(1, 2), attention_levels=(0,), dtype=jnp.bfloat16
    )
    low = catalog.build("venhancer", config)
    half = {name: x.astype(jnp.bfloat16) for name, x in params.items()}

    out = jax.jit(low.__call__)(half, *inputs, **conditions)
    exact = jax.jit(catalog.build("venhancer", CONFIG).__call__)(params, *inputs, **conditions)

    assert out.dtype == jnp.float32
    assert 1e-4 < _distance(out, exact) < 5e-2


@pytest.mark.parametrize("size", [(2, 8), (10, 8), (18, 16), (26, 8)])
def test_legal_sizes_come_back(size: tuple[int, int]):
    network = catalog.build("venhancer", UNet3DConfig.tiny())
    height, width = size
    shape = jax.ShapeDtypeStruct((1, 1, height, width, 4), jnp.float32)
    one = jax.ShapeDtypeStruct((1,), jnp.int32)
    text = jax.ShapeDtypeStruct((1, 77, 64), jnp.float32)

    out = jax.eval_shape(network, network.shapes, shape, one, text)

    assert out.shape == shape.shape
