"""Local-aware cross-attention: its formula, its bias, its reach."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.genve.tiny_attention import (
    GRID,
    REFERENCE,
    SHAPE,
    VIDEO,
    as_grid,
    assert_near,
    attend,
    built,
    expected,
    values,
)
from models.tiny_networks import normal

from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import Constructor, count_parameters, functionalize
from venhancer_jax.models.genve import local_attention
from venhancer_jax.models.genve.config import GenVEConfig
from venhancer_jax.models.genve.local_attention import LocalAwareCrossAttention, local_bias

SLOTS = np.stack(np.mgrid[: GRID[0], : GRID[1]], -1).reshape(-1, 2)


def squared_distances() -> np.ndarray:
    """Squared distances of all patches to all patches, one by one."""
    return np.array([[(a - c) ** 2 + (b - d) ** 2 for c, d in SLOTS] for a, b in SLOTS])


@functools.cache
def usual() -> np.ndarray:
    return np.asarray(attend(*built(), VIDEO, REFERENCE))


def test_without_bias_it_is_plain_cross_attention():
    network, params = built(fusion="cross")
    assert "locality" not in network.shapes
    assert_near(attend(network, params, VIDEO, REFERENCE), expected(params, VIDEO, REFERENCE, 0))


def test_the_bias_of_each_head_falls_with_the_squared_distance():
    params = built()[1]
    strength = np.log1p(np.exp(np.float64(params["locality"])))
    assert len(set(strength)) == 4
    bias = -strength[:, None, None] * squared_distances() / 4**2

    assert_near(usual(), expected(params, VIDEO, REFERENCE, bias))


def test_the_bias_starts_at_minus_one_at_the_distance_of_a_window():
    network, _ = built(neighbours=3)
    strength = network.bind(network.init(jax.random.key(0))).strength()
    origin, others = np.zeros((1, 2), np.float32), np.float32([[0, 0], [3, 0], [0, -3], [0, 6]])

    bias = local_bias(origin, others, strength, None)

    assert bias.shape == (4, 1, 4)
    np.testing.assert_allclose(bias[:, 0], [[0, -1, -1, -4]] * 4, rtol=1e-6)


@pytest.mark.parametrize("how", ["radius", "locality"])
def test_a_bias_of_minus_infinity_off_the_diagonal_gives_the_value_of_the_slot(how: str):
    network, params = built(radius=0.5) if how == "radius" else built()
    if how == "locality":
        params = params | {"locality": np.full(4, 1e5, np.float32)}

    assert_near(attend(network, params, VIDEO, REFERENCE), values(params, REFERENCE))


def test_nothing_beyond_the_radius_matters():
    network, params = built(radius=2.5)
    row, column = 1, 6
    distances = np.hypot(*(SLOTS - (row, column)).T).reshape(GRID)
    far = np.kron(distances > 2.5, np.ones((2, 2)))[..., None] > 0
    first = as_grid(attend(network, params, VIDEO, REFERENCE))[:, :, row, column]

    changed = attend(network, params, VIDEO, np.where(far, 9 * normal(5, *SHAPE), REFERENCE))
    assert jnp.array_equal(changed[:, :, row, column], first)
    edge = REFERENCE.copy()
    edge[:, :, 2 * (row + 1), 2 * (column - 2) + 1] += 1  # at a distance of 2.24
    changed = attend(network, params, VIDEO, edge)
    assert float(jnp.abs(changed[:, :, row, column] - first).max()) > 1e-4


def test_plain_cross_attention_has_no_radius():
    network, params = built(fusion="cross", radius=0.5)
    assert_near(attend(network, params, VIDEO, REFERENCE), expected(params, VIDEO, REFERENCE, 0))


def test_the_output_moves_with_clip_and_reference():
    """By a row and two columns of patches; beyond the radius of what enters and leaves."""
    network, params = built(radius=1.5)
    moved = [np.roll(x, (2, 4), axis=(2, 3)) for x in (VIDEO, REFERENCE)]

    first = attend(network, params, VIDEO, REFERENCE)
    found = attend(network, params, *moved)

    inner = found[:, :, 2:-1, 3:-1]  # with neighbours in the moved picture
    assert_near(inner[:, :, :, 1:], np.asarray(first[:, :, 1:-2, 2:-3]), 2e-6)
    assert float(jnp.abs(found - first).max()) > 0.1


def test_a_reference_of_zeros_gives_one_embedding():
    texture = as_grid(attend(*built(), VIDEO, np.zeros_like(REFERENCE)))

    assert float(jnp.abs(texture).max()) > 0.01
    assert_near(texture, np.broadcast_to(texture[:1, :1, :1, :1], texture.shape))


def test_frames_and_videos_are_apart():
    other = REFERENCE.copy()
    other[1, 2] += normal(6, *SHAPE[2:])

    differs = jnp.abs(attend(*built(), VIDEO, other) - usual()).max((2, 3, 4)) > 1e-3

    assert differs.tolist() == [[False] * 3, [False, False, True]]


@pytest.mark.parametrize("queries", [1, 7, 60, 120])
def test_chunks_are_the_whole(queries: int, monkeypatch: pytest.MonkeyPatch):
    """One query at a time, some of a frame, a frame, two frames."""
    seen = []

    def dense(query: jax.Array, *args, **kwargs) -> jax.Array:
        seen.append(query.shape)
        return original(query, *args, **kwargs)

    original = local_attention.dense_attention
    monkeypatch.setattr(local_attention, "dense_attention", dense)
    monkeypatch.setattr(local_attention, "cache_bytes", lambda: 4 * 4 * 60 * queries)
    network, params = built()

    found = jax.jit(network.__call__)(params, VIDEO, REFERENCE)

    assert_near(found, usual(), 2e-6)
    assert {heads * n for heads, n, _ in seen} <= {4 * n for n in range(1, queries + 1)}
    assert seen[0][0] == 4 * max(1, queries // 60)


def test_accelerators_hold_few_scores(monkeypatch: pytest.MonkeyPatch):
    """At 720p, where 32 frames have 8 GiB of them."""
    seen = []

    def dense(query: jax.Array, key: jax.Array, *args, **kwargs) -> jax.Array:
        seen.append(4 * math.prod(query.shape[:2]) * key.shape[1])
        return original(query, key, *args, **kwargs)

    original = local_attention.dense_attention
    monkeypatch.setattr(local_attention, "dense_attention", dense)
    monkeypatch.setattr(local_attention, "cache_bytes", lambda: None)
    network, _ = built()
    latents = jax.ShapeDtypeStruct((1, 32, 90, 160, 4), jnp.float32)
    jax.eval_shape(network, network.shapes, latents, latents)

    assert 2**26 < max(seen) <= 2**28


def test_bias_and_scores_are_float32_in_16_bits():
    network, params = built()
    low, _ = built(dtype=jnp.bfloat16)
    half = {name: jnp.asarray(x, jnp.bfloat16) for name, x in params.items()}
    jaxpr = str(jax.make_jaxpr(low)(half, VIDEO, REFERENCE))

    assert " exp " in jaxpr and "bf16[24,60,60] = exp" not in jaxpr
    strength = low.bind(half).strength()
    assert strength.dtype == jnp.float32
    np.testing.assert_allclose(strength, network.bind(params).strength(), rtol=1e-2)
    found = attend(low, half, VIDEO, REFERENCE)
    assert found.dtype == jnp.bfloat16
    error = np.linalg.norm(np.float32(found) - usual()) / np.linalg.norm(usual())
    assert 1e-4 < error < 2e-2


def test_fold_is_a_transposed_convolution():
    network, params = built()
    kernel = params["fold_patches.kernel"].reshape(64, 2, 2, 64)
    latents = np.zeros((*SHAPE[:-1], 64))
    for p in range(2):
        for q in range(2):
            latents[:, :, p::2, q::2] = usual() @ np.float64(kernel[:, p, q])
    latents += np.tile(params["fold_patches.bias"].reshape(2, 2, 64), (*GRID, 1))

    assert_near(network.bind(params).fold(usual()), latents)


def test_published_size():
    config = GenVEConfig()
    network = functionalize(Constructor(LocalAwareCrossAttention, config))

    assert count_parameters(network.shapes) == 730_245
    assert network.shapes["locality"].shape == (5,)
    for name in ("video_patches", "reference_patches"):
        assert network.shapes[f"{name}.kernel"].shape == (2 * 2 * 4, 320)
    cross = functionalize(Constructor(LocalAwareCrossAttention, GenVEConfig(fusion="cross")))
    assert network.shapes.keys() - cross.shapes.keys() == {"locality"}


def test_wrong_choices():
    with pytest.raises(InputError, match="fusion 'near': expected one of none, cross, local"):
        GenVEConfig(fusion="near")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="patch 4: expected 1 or 2 latents"):
        GenVEConfig(patch=4)
    with pytest.raises(InputError, match="neighbours 0: expected 1 patch or more"):
        GenVEConfig(neighbours=0)
    with pytest.raises(InputError, match="radius -1: expected 0 patches or more"):
        GenVEConfig(radius=-1)
