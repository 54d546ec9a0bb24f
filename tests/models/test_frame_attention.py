"""The kernel for attention among frames, interpreted, against XLA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from venhancer_jax.models.functional import functionalize
from venhancer_jax.models.kernels import temporal_attention as module
from venhancer_jax.models.kernels.temporal_attention import (
    attend_by_pixel,
    suits,
    temporal_attention,
)
from venhancer_jax.models.layers import multi_head
from venhancer_jax.models.layers.multi_head import TemporalAttention
from venhancer_jax.models.layers.transformer import TemporalTransformer


def inputs(frames: int, pixels: int, width: int) -> list[jax.Array]:
    draw = np.random.default_rng(0).standard_normal
    return [jnp.asarray(draw((2, frames, pixels, width)), jnp.float32) for _ in range(3)]


def bias_of(heads: int, frames: int) -> jax.Array:
    draw = np.random.default_rng(1).standard_normal
    return jnp.asarray(draw((heads, frames, frames)), jnp.float32)


@pytest.mark.parametrize(
    ("frames", "pixels", "width", "head_dim"),
    [(5, 20, 64, 32), (8, 16, 128, 64), (1, 3, 32, 32)],  # filled up with pixels, even, one frame
)
def test_kernel_is_attention(frames: int, pixels: int, width: int, head_dim: int):
    x = inputs(frames, pixels, width)
    for bias in (None, bias_of(width // head_dim, frames)):
        found = temporal_attention(*x, head_dim, bias)
        np.testing.assert_allclose(found, attend_by_pixel(*x, head_dim, bias), rtol=1e-5, atol=1e-5)


def test_by_pixel_is_the_textbook():
    bias = bias_of(2, 3)
    q, k, v = (np.asarray(x, np.float64) for x in inputs(3, 4, 8))
    expected = np.zeros_like(v)
    for b, n, head in np.ndindex(2, 4, 2):
        lanes = slice(4 * head, 4 * head + 4)
        scores = q[b, :, n, lanes] @ k[b, :, n, lanes].T / 2 + bias[head]
        weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        expected[b, :, n, lanes] = weights @ v[b, :, n, lanes]
    np.testing.assert_allclose(attend_by_pixel(*inputs(3, 4, 8), 4, bias), expected, atol=1e-5)


def test_gradient():
    x = [*inputs(4, 5, 32), bias_of(2, 4)]

    def gradients(function) -> tuple[jax.Array, ...]:
        total = lambda *x: jnp.square(function(*x[:3], 16, x[3])).sum()  # noqa: E731
        return jax.grad(total, argnums=(0, 1, 2, 3))(*x)

    for found, expected in zip(
        gradients(temporal_attention), gradients(attend_by_pixel), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "shape", "pixels_at_once"),
    [
        (TemporalTransformer, (2, 5, 3, 4, 64), 1000),
        (TemporalTransformer, (2, 5, 3, 4, 64), 7),
        (TemporalAttention, (2, 5, 12, 64), 7),
    ],
)
def test_layers_are_the_same_with_it(
    monkeypatch: pytest.MonkeyPatch, layer: type, shape: tuple[int, ...], pixels_at_once: int
):
    def build(rngs: nnx.Rngs) -> nnx.Module:
        return layer(
            64,
            head_dim=32,
            pixels_at_once=pixels_at_once,
            implementation="auto",
            dtype=jnp.float32,
            rngs=rngs,
        )

    network = functionalize(build)
    draw = np.random.default_rng(0).standard_normal
    params = {n: draw(s.shape).astype("f4") / 6 for n, s in network.shapes.items()}
    x = draw(shape).astype("f4")
    without = jax.jit(network.__call__)(params, x)
    monkeypatch.setattr(multi_head, "suits", lambda tokens: True)
    found = jax.jit(lambda *inputs: network(*inputs))(params, x)
    np.testing.assert_allclose(found, without, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("platform", "dtype", "frames", "expected"),
    [
        ("tpu", jnp.bfloat16, 32, True),
        ("tpu", jnp.float32, 32, False),
        ("tpu", jnp.bfloat16, 49, False),
        ("cpu", jnp.bfloat16, 32, False),
    ],
)
def test_where_it_is_used(
    monkeypatch: pytest.MonkeyPatch, platform: str, dtype, frames: int, expected: bool
):
    monkeypatch.setattr(module, "target_device", lambda: (platform, "TPU v5 lite"))
    assert suits(jnp.zeros((1, frames, 2, 32), dtype)) is expected
