"""VEnhancer's network with attention to a reference: what is added, and that nothing else is."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import tiny_networks
from models.genve.tiny_attention import fresh_attention
from models.tiny_networks import CONDITIONS, SHAPE, TEXT, T, X, normal
from pipelines.tiny_system import random_params
from training import forked

from venhancer_jax.models.functional import (
    Constructor,
    FunctionalModule,
    Params,
    functionalize,
)
from venhancer_jax.models.genve.config import GenVEConfig
from venhancer_jax.models.genve.local_attention import LocalAwareCrossAttention
from venhancer_jax.models.genve.network import GuidedUNet
from venhancer_jax.models.int8 import quantised
from venhancer_jax.models.layers.text_kv_cache import compute_text_kv
from venhancer_jax.models.venhancer.controlnet import ControlledUNet
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.sharding.flops import count_flops
from venhancer_jax.sharding.mesh import inference_mesh

CONFIG = dataclasses.replace(tiny_networks.CONFIG, attention_levels=())
REFERENCE = normal(7, *SHAPE)


def guided(**changes) -> FunctionalModule:
    return functionalize(Constructor(GuidedUNet, GenVEConfig.from_unet(CONFIG, **changes)))


@functools.cache
def controlled() -> tuple[FunctionalModule, Params]:
    """VEnhancer's network, and parameters under which every input matters."""
    network = functionalize(Constructor(ControlledUNet, CONFIG))
    return network, random_params(network)


@functools.cache
def params() -> Params:
    """Parameters of VEnhancer's networks, and those of an attention that matters."""
    config = GenVEConfig.from_unet(CONFIG)
    lca = random_params(functionalize(Constructor(LocalAwareCrossAttention, config)))
    return controlled()[1] | {f"lca.{name}": x for name, x in lca.items()}


def predict(network: FunctionalModule, params: Params, conditions: dict, **reused):
    return network.bind(params).with_features(X, T, TEXT, conditions, **reused)


@functools.cache
def program():
    """Predicts v of two equal videos with the texture of the reference."""

    @jax.jit
    def run(params: Params, has_texture: jax.Array) -> jax.Array:
        network = guided().bind(params)
        texture = network.texture(X, REFERENCE).repeat(2, axis=0)
        conditions = {name: jnp.repeat(x, 2, axis=0) for name, x in CONDITIONS.items()}
        conditions |= {"texture": texture, "has_texture": has_texture}
        x, t, text = (jnp.repeat(x, 2, axis=0) for x in (X, T, TEXT))
        return network.with_features(x, t, text, conditions)[0]

    return lambda params, *has: np.asarray(run(params, jnp.array(has)))


@functools.cache
def plain() -> np.ndarray:
    """What VEnhancer's network predicts."""
    network = controlled()[0]
    return np.asarray(jax.jit(functools.partial(predict, network))(controlled()[1], CONDITIONS)[0])


def test_at_its_start_it_predicts_what_venhancer_does():
    lca = fresh_attention(GenVEConfig.from_unet(CONFIG))
    assert float(jnp.abs(lca["lca.query.kernel"]).max()) > 0.1

    found = program()(params() | lca, True, True)

    assert np.abs(found - plain()).max() < 2e-6 * np.abs(plain()).max()


def test_the_texture_matters_where_a_video_has_one():
    with_both = program()(params(), True, True)
    with_first = program()(params(), True, False)

    assert np.abs(with_both - plain()).max() > 1e-2
    np.testing.assert_array_equal(with_first[0], with_both[0])
    assert np.abs(with_first[1] - plain()[0]).max() < 2e-6 * np.abs(plain()).max()


@pytest.mark.parametrize("fusion", ["local", "none"])
def test_without_texture_the_program_is_that_of_venhancer(fusion: str):
    """The same operations in the same order: the result is the same bit for bit."""
    network, shapes = controlled()[0], controlled()[0].shapes
    others = {
        n: jnp.zeros(x.shape) for n, x in guided(fusion=fusion).shapes.items() if n not in shapes
    }
    assert bool(others) == (fusion == "local")
    absent = CONDITIONS | {"texture": None, "has_texture": np.array([True])}

    ours = jax.make_jaxpr(lambda p: predict(guided(fusion=fusion), p | others, absent))(shapes)
    theirs = jax.make_jaxpr(lambda p: predict(network, p, CONDITIONS))(shapes)

    assert str(ours) == str(theirs)


def test_parameters_have_the_names_of_venhancer():
    of_venhancer, ours = controlled()[0].shapes, guided().shapes
    assert {n: x for n, x in ours.items() if not n.startswith("lca.")} == of_venhancer
    assert guided(fusion="none").shapes == of_venhancer
    assert sorted({n.split(".")[1] for n in ours.keys() - of_venhancer}) == [
        "fold_patches", "key", "locality", "query", "reference_norm", "reference_patches",
        "value", "video_norm", "video_patches",
    ]  # fmt: skip


def test_text_projections_are_those_of_venhancer():
    def project(network: FunctionalModule):
        return jax.eval_shape(
            lambda p: compute_text_kv(network.bind(p), jnp.asarray(TEXT)), network.shapes
        )

    assert project(guided()) == project(controlled()[0])


def test_cached_features_need_no_texture():
    network = guided()
    texture = jax.ShapeDtypeStruct((1, 3, 3, 2, CONFIG.width), jnp.float32)
    _, control, deep = jax.eval_shape(
        functools.partial(predict, network), network.shapes, CONDITIONS | {"texture": texture}
    )

    def operations(conditions: dict, **reused) -> int:
        return count_flops(
            functools.partial(predict, network), network.shapes, conditions, **reused
        )

    fold = 2 * 3 * (3 * 2) * CONFIG.width * 4 * CONFIG.width
    guided_by = CONDITIONS | {"texture": texture}
    assert operations(guided_by) - operations(CONDITIONS) == fold
    assert operations(guided_by, deep=deep) - operations(CONDITIONS, deep=deep) == fold
    assert operations(guided_by, control=control) == operations(CONDITIONS, control=control)


def test_a_network_without_fusion_takes_no_texture():
    network = guided(fusion="none")
    with pytest.raises(ValueError, match="fusion 'none': the network has no attention"):
        jax.eval_shape(lambda p: network.bind(p).texture(X, REFERENCE), network.shapes)
    texture = np.zeros((1, 3, 3, 2, CONFIG.width), np.float32)
    with pytest.raises(ValueError, match="fusion 'none': the network has no attention"):
        jax.eval_shape(
            lambda p: predict(network, p, CONDITIONS | {"texture": texture}), network.shapes
        )


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_working_sizes_have_whole_patches(levels: int):
    config = GenVEConfig(multipliers=(1,) * levels)
    remainder, modulus = config.rows_modulus
    assert modulus % 2 == remainder % 2 == 0
    if levels > 1:
        assert (remainder, modulus) == config.unet.rows_modulus
    x, conditions = config.smallest_inputs()
    assert conditions["texture"].shape == (1, 1, x.shape[2] // 2, x.shape[3] // 2, 320)
    assert min(conditions["texture"].shape) > 0


def test_sizes_are_those_of_the_unet():
    demo = UNet3DConfig.demo(dtype=jnp.bfloat16)
    config = GenVEConfig.from_unet(demo, fusion="cross")
    assert config.fusion == "cross"
    assert config.unet == demo
    assert "texture" not in GenVEConfig(fusion="none").smallest_inputs()[1]


def kept_bytes(remat: str) -> int:
    """Bytes that the texture of a long clip keeps for the gradient, besides parameters."""
    network = guided(remat=remat)
    latents = jnp.zeros((1, 16, 16, 16, 4))

    def residuals(params: Params):
        loss = lambda p: network.bind(p).texture(latents, latents)  # noqa: E731
        return jax.vjp(loss, params)[1]

    lca = {n: x for n, x in network.shapes.items() if n.startswith("lca.")}
    rest = {n: jnp.zeros(x.shape) for n, x in network.shapes.items() if n not in lca}
    kept = jax.tree.leaves(jax.eval_shape(lambda p: residuals(rest | p), lca))
    return sum(x.size * x.dtype.itemsize for x in kept if x.ndim > 3)


def test_the_gradient_keeps_latents_alone():
    one = 4 * 16 * 8 * 8 * CONFIG.width  # features of all patches
    assert kept_bytes("none") > 4 * one
    assert kept_bytes("blocks") <= one


@pytest.mark.slow
def test_integers_fold_texture_and_leave_the_attention_alone():
    config = GenVEConfig.from_unet(CONFIG)
    integers, quantities = quantised(guided(), params(), config)
    of_integers = {n.split(".")[1] for n in integers.shapes if "lca" in n and "qvalue" in n}
    assert of_integers == {"fold_patches"}

    @functools.partial(jax.jit, static_argnums=0)
    def run(network: FunctionalModule, params: Params):
        module = network.bind(params)
        texture = module.texture(X, REFERENCE)
        text = compute_text_kv(module, jnp.asarray(TEXT))
        return texture, module.with_features(X, T, text, CONDITIONS | {"texture": texture})[0]

    (texture, v), (same, near) = run(guided(), params()), run(integers, quantities)

    np.testing.assert_allclose(same, texture, atol=1e-6)
    assert 1e-3 < tiny_networks.distance(near, v) < 0.1


@pytest.mark.slow
def test_eight_devices_predict_what_one_predicts(tmp_path: Path):
    path = tmp_path / "found.npz"
    forked.run(tmp_path / "output.txt", write_predictions, path, devices=8)
    one = predicted({})
    for name, x in np.load(path).items():
        assert np.linalg.norm(x - one) < 1e-5 * np.linalg.norm(one), name


def predicted(sizes: dict[str, int]) -> np.ndarray:
    """Predicts v of two videos of five frames, one without reference, on a mesh."""
    shape = (2, 5, 12, 8, 4)
    x, hint, reference = (normal(i, *shape) for i in range(3))
    conditions = {"hint": hint, "hint_t": T.repeat(2), "key_index": np.arange(5)[None].repeat(2, 0)}

    @jax.jit
    def run(params: Params) -> jax.Array:
        network = guided().bind(params)
        texture = network.texture(hint, reference)
        has = {"texture": texture, "has_texture": jnp.array([True, False])}
        return network.with_features(x, T.repeat(2), TEXT.repeat(2, 0), conditions | has)[0]

    with jax.set_mesh(inference_mesh(jax.devices()[: None if sizes else 1], sizes)):
        return np.asarray(run(params()))


def write_predictions(path: Path) -> None:
    meshes = (
        {"data": 2, "context": 4},
        {"data": 1, "context": 8},
        {"data": 1, "fsdp": 2, "context": 1, "rows": 4},
        {"data": 2, "context": 2, "rows": 2},
    )
    np.savez(path, **{str(sizes): predicted(sizes) for sizes in meshes})
