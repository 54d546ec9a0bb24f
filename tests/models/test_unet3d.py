"""UNet and ControlNet: sizes, conditions, starts at zero, types."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.tiny_networks import (
    CONDITIONS,
    CONFIG,
    TEXT,
    T,
    X,
    call,
    controlled,
    distance,
    normal,
)
from pipelines.jax_events import COMPILE, events
from pipelines.tiny_system import random_params

from venhancer_jax.models.functional import (
    Constructor,
    FunctionalModule,
    count_parameters,
    functionalize,
    with_prefix,
)
from venhancer_jax.models.venhancer.controlnet import key_index_of_mask
from venhancer_jax.models.venhancer.unet3d import UNet3D, UNet3DConfig
from venhancer_jax.pipelines import catalog


def predict(x=X, params=None, **changes) -> jax.Array:
    """Predicts v with the shared program, some conditions changed."""
    network, usual = controlled()
    return call(network, usual | (params or {}), x, T, TEXT, CONDITIONS | changes)


@functools.cache
def usual() -> jax.Array:
    return predict()


@pytest.mark.slow
def test_published_size():
    shapes = catalog.build("venhancer", UNet3DConfig.venhancer()).shapes

    assert len(shapes) == 2180
    assert count_parameters(with_prefix(shapes, "unet")) == 1_411_233_860
    assert count_parameters(with_prefix(shapes, "controlnet")) == 633_575_936


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hint", normal(9, *CONDITIONS["hint"].shape)),
        ("hint_t", np.array([0], np.int32)),
        ("scale", np.array([1.0], np.float32)),
        ("key_index", np.array([[-1, 0, 1]], np.int32)),
    ],
)
def test_every_condition_matters(name: str, value: np.ndarray):
    assert distance(predict(**{name: value}), usual()) > 1e-3


def test_zero_convolutions_take_the_controlnet_out():
    params = controlled()[1]
    zero = {n: jnp.zeros_like(x) for n, x in params.items() if "zero_convs" in n}

    first = predict(params=zero)
    other = predict(params=zero, hint=CONDITIONS["hint"] + 1, scale=CONDITIONS["scale"] * 2)

    assert float(jnp.abs(first).max()) > 0.1
    np.testing.assert_array_equal(first, other)


def test_what_starts_at_zero():
    network, _ = controlled()
    outputs = (
        "zero_convs.",
        "hint_conv",
        "noise_embedding",
        "scale_embedding.linear2",
        "head.conv",
    )
    outputs += ("stage4.conv", ".conv2", "temporal.proj_out", "spatial.proj_out")

    @jax.jit  # compiles the chosen parameters only
    def largest(key: jax.Array) -> dict[str, jax.Array]:
        fresh = network.init(key).items()
        chosen = {n: x for n, x in fresh if n.endswith("kernel") and any(o in n for o in outputs)}
        return {name: jnp.abs(x).max() for name, x in chosen.items()}

    found = largest(jax.random.key(0))

    assert len(found) > 30
    assert {name for name, value in found.items() if value != 0} == set()


def test_only_key_frames_learn_of_noise_level_scale_and_hint():
    network, params = controlled()
    is_key = CONDITIONS["key_index"] >= 0

    @jax.jit
    def embeddings():
        control = network.bind(params).controlnet
        return (
            control.embed(T, None, None, is_key),
            control.embed(T, CONDITIONS["hint_t"], CONDITIONS["scale"], is_key),
            control.place_hints(CONDITIONS["hint"], CONDITIONS["key_index"]),
            control.hint_conv(CONDITIONS["hint"]),
        )

    plain, informed, placed, hints = embeddings()

    assert jnp.array_equal(informed[:, 1], plain[:, 0])
    assert jnp.abs(informed[:, ::2] - plain).max(axis=-1).min() > 1e-3
    assert jnp.abs(placed).max(axis=(0, 2, 3, 4))[1] == 0
    np.testing.assert_allclose(placed[:, 2], hints[:, 1], atol=1e-6)


def test_without_key_frames_the_hint_is_not_used():
    network, _ = controlled()
    jaxpr = jax.make_jaxpr(
        lambda hint, scale, params: network.bind(params).controlnet(
            X, T, TEXT, hint=hint, scale=scale
        )
    )(CONDITIONS["hint"], CONDITIONS["scale"], network.shapes).jaxpr
    hint, scale, *_ = jaxpr.invars
    used = {id(v) for equation in jaxpr.eqns for v in equation.invars}

    assert id(hint) not in used
    assert id(scale) in used


def test_mask_of_the_first_release():
    mask = jnp.array([[0, 1, 1, 0, 0], [1, 0, 1, 1, 0]])

    index = key_index_of_mask(mask)

    assert index.tolist() == [[0, -1, -1, 1, 2], [-1, 0, -1, -1, 1]]


def test_temporal_modules_see_all_frames():
    far = X.copy()
    far[:, -1] += 1

    assert distance(predict(far)[:, 0], usual()[:, 0]) > 1e-4


def test_a_network_built_again_compiles_nothing():
    """A model that is loaded a second time runs the programs of the first one."""
    smaller = dataclasses.replace(CONFIG, width=32, blocks_per_level=0, attention_levels=())
    first, other = controlled()[0], catalog.build("venhancer", smaller)
    usual()
    functionalize.cache_clear()
    again = catalog.build("venhancer", CONFIG)

    with events() as seen:
        call(again, controlled()[1], X, T, TEXT, CONDITIONS).block_until_ready()

    assert seen[COMPILE] == 0
    assert first is not again
    assert first == again and hash(first) == hash(again)
    assert first != other
    assert catalog.build("no_text", catalog.config_class("no_text")()) != first


def of_type(dtype: str) -> FunctionalModule:
    """The smallest UNet, in a type."""
    config = UNet3DConfig.tiny(
        width=32, multipliers=(1,), blocks_per_level=0, attention_levels=(),
        context_width=16, dtype=jnp.dtype(dtype),
    )  # fmt: skip
    return functionalize(Constructor(UNet3D, config))


def test_half_precision_answers_in_float32():
    network = of_type("bfloat16")
    params = {n: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16) for n, x in network.shapes.items()}
    assert jax.eval_shape(network, params, X, T, TEXT).dtype == jnp.float32


@pytest.mark.slow  # test_precision shows the types of all products
def test_half_precision_stays_close():
    found = {}
    for dtype in ("float32", "bfloat16", "float16"):
        network = of_type(dtype)
        params = {n: jnp.asarray(x, dtype) for n, x in random_params(network).items()}
        found[dtype] = call(network, params, X, T, TEXT, {})
    exact = found.pop("float32")
    errors = {name: distance(x, exact) for name, x in found.items()}

    assert all(x.dtype == jnp.float32 and bool(jnp.isfinite(x).all()) for x in found.values())
    assert 1e-4 < errors["bfloat16"] < 5e-2
    assert errors["float16"] < errors["bfloat16"] / 4


@pytest.mark.parametrize("size", [(2, 8), (10, 8), (18, 16), (26, 8)])
def test_legal_sizes_come_back(size: tuple[int, int]):
    network = catalog.build("venhancer", UNet3DConfig.tiny(blocks_per_level=1, attention_levels=()))
    height, width = size
    x = jax.ShapeDtypeStruct((1, 1, height, width, 4), jnp.float32)
    one = jax.ShapeDtypeStruct((1,), jnp.int32)
    text = jax.ShapeDtypeStruct((1, 77, 64), jnp.float32)

    out = jax.eval_shape(
        lambda params, *inputs: network.bind(params).unet(*inputs), network.shapes, x, one, text
    )

    assert out.shape == x.shape
