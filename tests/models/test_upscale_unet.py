"""The UNet of Upscale-A-Video: sizes, operations, conditions, positions, and diffusers' UNet."""

import functools
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import unet_on_devices
from models.tiny_networks import call, distance, normal, text_kv
from pipelines.tiny_system import random_params

from venhancer_jax.convert import rules
from venhancer_jax.convert import upscale_a_video as tables
from venhancer_jax.convert.parity.upscale_a_video.networks import level_outputs
from venhancer_jax.models.functional import FunctionalModule, Params, count_parameters
from venhancer_jax.models.layers.positions import distance_buckets, rotate
from venhancer_jax.models.layers.text_kv_cache import TextKVCache
from venhancer_jax.models.upscale_a_video.config import UpscaleUNetConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.sharding.flops import count_flops

CONFIG = UpscaleUNetConfig.tiny()
# Odd sizes, halved once.
X, T, TEXT = normal(0, 1, 3, 5, 7, 7), np.array([500], np.int32), normal(1, 1, 4, 16)
LABEL = np.array([120], np.int32)
# The blocks whose transformers attend to the text alone.
BLOCKS = (("down.1", 0), ("up.0", 0), ("up.0", 1))
PUBLISHED = UpscaleUNetConfig.upscale_a_video()


@functools.cache
def build(config: UpscaleUNetConfig) -> FunctionalModule:
    return catalog.build("upscale_a_video", config)


@functools.cache
def tiny() -> Params:
    """Parameters of the smallest network under which every input matters."""
    return {name: jnp.asarray(x) for name, x in random_params(build(CONFIG)).items()}


@jax.jit
def run(params: Params, x, t, keys: TextKVCache, label) -> tuple[jax.Array, ...]:
    """Predicts v whole, from deep features, and level by level as recordings are replayed."""
    module = build(CONFIG).bind(params)
    v, deep = module.with_deep(x, t, keys, label)
    *_, last = level_outputs(module, x, t, keys, label).values()
    return v, module.with_deep(x, t, keys, label, deep)[0], module.head(last)


def predict(x=X, t=T, text=TEXT, label=LABEL, params=None) -> jax.Array:
    params = tiny() | (params or {})
    return run(params, x, t, text_kv(build(CONFIG), params, text), label)[0]


@functools.cache
def usual() -> jax.Array:
    return predict()


@pytest.mark.parametrize(
    ("config", "tensors", "parameters"),
    [
        (PUBLISHED, 1141, 691_036_420),
        pytest.param(UpscaleUNetConfig.x4_upscaler(), 687, 473_398_020, marks=pytest.mark.slow),
        pytest.param(UpscaleUNetConfig.sd21(), 686, 865_910_724, marks=pytest.mark.slow),
    ],
)
def test_published_sizes(config: UpscaleUNetConfig, tensors: int, parameters: int):
    shapes = build(config).shapes

    assert (len(shapes), count_parameters(shapes)) == (tensors, parameters)


@pytest.mark.parametrize(
    ("size", "tera"),
    [((80, 80), 5.54), pytest.param((270, 480), 112.4, marks=pytest.mark.slow)],
)
def test_operations_of_a_window(size: tuple[int, int], tera: float):
    found = count_flops(build(PUBLISHED), build(PUBLISHED).shapes, *abstract(PUBLISHED, 8, *size))

    assert math.isclose(found, tera * 1e12, rel_tol=1e-2)


def abstract(config: UpscaleUNetConfig, frames: int, *size: int) -> tuple[Any, ...]:
    """Shapes of one video, its time step, text and label."""
    x = jax.ShapeDtypeStruct((1, frames, *size, config.in_channels), jnp.float32)
    one = jax.ShapeDtypeStruct((1,), jnp.int32)
    text = jax.ShapeDtypeStruct((1, 77, config.context_width), jnp.float32)
    return x, one, text, one if config.labels else None


@pytest.mark.parametrize("size", [(1, 1), (9, 14)])
def test_any_size_comes_back(size: tuple[int, int]):
    config = UpscaleUNetConfig.tiny(channels=(32, 32, 32), heads=(1, 1, 1), attention_levels=())
    network = build(config)

    out = jax.eval_shape(network, network.shapes, *abstract(config, 2, *size))

    assert out.shape == (1, 2, *size, 4)


@pytest.mark.parametrize(
    "changes",
    [
        {"t": np.array([501], np.int32)},
        {"label": LABEL + 1},
        {"text": TEXT[:, ::-1] * 1.1},
    ],
    ids=["t", "label", "text"],
)
def test_every_condition_matters(changes: dict[str, np.ndarray]):
    assert distance(predict(**changes), usual()) > 1e-4


def test_a_missing_label_is_an_error():
    with pytest.raises(ValueError, match="needs the noise level"):
        build(CONFIG).bind(tiny()).embed(jnp.asarray(T), None)


@pytest.mark.parametrize("part", ["relative_bias", "down.0.temporal.proj_out", "conv1.kernel"])
def test_frames_are_mixed(part: str):
    """Later frames reach the first one, and the order of frames matters."""
    far = X.copy()
    far[:, -1] += 1
    without = {n: jnp.zeros_like(x) for n, x in tiny().items() if part in n}

    assert distance(predict(far)[:, 0], usual()[:, 0]) > 1e-3
    assert distance(predict(X[:, ::-1])[:, ::-1], usual()) > 1e-3
    assert distance(predict(params=without), usual()) > 1e-4


def test_what_starts_at_zero():
    network = build(CONFIG)
    names = ("attn_temporal.to_out.kernel", "temporal.proj_out.kernel", "temporal.proj_out.bias")
    fresh = jax.eval_shape(network.init, jax.random.key(0))
    chosen = [name for name in fresh if name.endswith(names)]

    @jax.jit  # compiles the chosen parameters only
    def largest(key: jax.Array) -> dict[str, jax.Array]:
        fresh = network.init(key)
        return {n: jnp.abs(fresh[n]).max() for n in [*chosen, "head.conv.kernel"]}

    found = largest(jax.random.key(0))

    assert found.pop("head.conv.kernel") > 0
    assert len(found) == 4 + 2 * 5  # four transformers, a module for each level and the middle
    assert set(map(float, found.values())) == {0.0}


def test_every_cross_attention_has_its_keys():
    keys = jax.eval_shape(functools.partial(text_kv, build(CONFIG)), tiny(), TEXT)
    twice = [f"{name}.blocks.{i}.transformer.spatial" for name, i in BLOCKS]

    assert set(keys) == {"middle.block.transformer.spatial", *twice, *(f"{n}.first" for n in twice)}


@pytest.mark.slow
def test_keys_of_the_text_change_nothing_but_the_rounding():
    found = call(build(CONFIG), tiny(), X, T, TEXT, {"label": LABEL})

    np.testing.assert_allclose(found, usual(), atol=1e-5)


def test_deep_features_and_levels_give_what_the_whole_network_gives():
    keys = text_kv(build(CONFIG), tiny(), TEXT)

    whole, *others = run(tiny(), X, T, keys, LABEL)

    for found in others:
        np.testing.assert_allclose(found, whole, atol=1e-5)


def test_rotations_depend_on_the_distance_alone():
    q, k = normal(0, 1, 40), normal(1, 1, 40)
    many = [np.asarray(rotate(jnp.asarray(x.repeat(6, axis=0)))) for x in (q, k)]
    scores = many[0] @ many[1].T

    np.testing.assert_allclose(many[0][0], q[0], atol=1e-6)
    np.testing.assert_array_equal(many[0][:, 32:], q[:, 32:].repeat(6, axis=0))
    for offset in range(-4, 5):
        np.testing.assert_allclose(np.ptp(np.diagonal(scores, offset)), 0, atol=1e-4)
    assert abs(scores[0, 1] - scores[1, 0]) > 1e-2


def test_buckets_of_distances():
    found = distance_buckets(40)

    assert found[0, :8].tolist() == [0, 17, 18, 19, 20, 21, 22, 23]
    near, far = [*range(8), 8, 8, 9, 9, 10, 10, 11, 11], [12] * 4 + [13] * 3 + [14] * 4 + [15] * 13
    assert found[:, 0].tolist() == near + far


@pytest.mark.slow
def test_eight_devices_predict_what_one_predicts(tmp_path: Path):
    meshes = [
        {"data": 1, "context": 8},
        {"data": 2, "context": 4},
        {"data": 2, "context": 2, "rows": 2},
    ]
    one = jnp.asarray(unet_on_devices.predict())

    for found in unet_on_devices.on_devices(tmp_path / "found.npz", meshes):
        assert distance(jnp.asarray(found), one) < 1e-5


# Sizes of diffusers' UNet: the smallest one, and Stable Diffusion 2.1 with fewer channels.
SMALL = {
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "only_cross_attention": [False, True],
    "attention_head_dim": (1, 2),
    "num_class_embeds": 1000,
    "in_channels": 7,
    "cross_attention_dim": 16,
}
SD21 = {
    "block_out_channels": (32, 64, 128, 128),
    "attention_head_dim": (1, 2, 4, 4),
    "in_channels": 4,
    "cross_attention_dim": 16,
}
OUR_SD21 = UpscaleUNetConfig.sd21(
    channels=SD21["block_out_channels"], heads=SD21["attention_head_dim"], context_width=16
)


@pytest.fixture(scope="module")
def torch() -> ModuleType:
    return pytest.importorskip("torch")


def test_silent_layers_leave_the_network_of_diffusers(torch: ModuleType):
    """Frames are alike, so that the program of the other tests can be used."""
    weights, reference = diffusers_unet(torch, SMALL)
    expected = predicted(torch, reference, X[:, :1], T, TEXT, LABEL)

    found = predict(X[:, :1].repeat(3, axis=1), params=silent(CONFIG, weights))

    for i in range(3):
        assert distance(found[:, i : i + 1], expected) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "config"), [(SMALL, CONFIG), (SD21, OUR_SD21)], ids=["video", "sd21"]
)
def test_one_frame_is_that_of_diffusers(
    torch: ModuleType, sizes: dict[str, Any], config: UpscaleUNetConfig
):
    weights, reference = diffusers_unet(torch, sizes)
    x, text = normal(3, 2, 1, 8, 16, config.in_channels), normal(4, 2, 5, 16)
    t, label = np.array([700, 3], np.int32), np.array([350, 0], np.int32)
    with jax.default_matmul_precision("highest"):
        found = call(build(config), silent(config, weights), x, t, text, {"label": label})

    assert distance(found, predicted(torch, reference, x, t, text, label)) < 1e-5


def diffusers_unet(torch: ModuleType, sizes: dict[str, Any]) -> tuple[dict[str, np.ndarray], Any]:
    """Random weights, and the network of diffusers with them, in float64."""
    from diffusers import UNet2DConditionModel

    reference = UNet2DConditionModel(use_linear_projection=True, out_channels=4, **sizes)
    weights = {name: random(name, tuple(x.shape)) for name, x in reference.state_dict().items()}
    reference.load_state_dict({name: torch.from_numpy(x) for name, x in weights.items()})
    return weights, reference.eval().requires_grad_(False).double()


def predicted(torch: ModuleType, reference: Any, x, t, text, label) -> jax.Array:
    """Predicts v `[B, 1, h, w, 4]` with diffusers."""
    theirs = reference(
        torch.from_numpy(x[:, 0].transpose(0, 3, 1, 2).copy()).double(),
        torch.from_numpy(t),
        torch.from_numpy(text).double(),
        class_labels=torch.from_numpy(label) if reference.class_embedding is not None else None,
    ).sample
    return jnp.asarray(theirs.numpy().transpose(0, 2, 3, 1)[:, None])


def silent(config: UpscaleUNetConfig, weights: dict[str, np.ndarray]) -> Params:
    """Parameters of a network whose layers beyond the image network change nothing."""
    network = build(config)
    image = UpscaleUNetConfig(**{**vars(config), "temporal": False})
    shapes = {name: x.shape for name, x in build(image).shapes.items()}
    stock = rules.from_torch(rules.entries(tables.unet(image), shapes), weights)
    new = {n: x for n, x in random_params(network).items() if n not in stock}
    last = (".transformer.resnet.conv2.", "attn_temporal.to_out.", "temporal.proj_out.")
    for name in new:
        if any(part in name for part in last):
            new[name] = np.zeros_like(new[name])
    return {n: jnp.asarray(x) for n, x in (stock | new).items()}


def random(name: str, shape: tuple[int, ...]) -> np.ndarray:
    draw = normal(sum(name.encode()), *shape)
    if len(shape) > 1:
        return draw / np.float32(math.sqrt(math.prod(shape[1:])))
    return draw * np.float32(0.1) + np.float32(name.endswith("weight"))
