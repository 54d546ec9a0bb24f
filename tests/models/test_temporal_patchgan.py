"""The discriminator: its convolutions, and the norm of their kernels."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.models.discriminators.temporal_patchgan import (
    TemporalPatchGAN,
    TemporalPatchGANConfig,
    largest_singular_value,
    refresh_vectors,
)
from venhancer_jax.models.functional import Constructor, Params, functionalize

NETWORK = functionalize(Constructor(TemporalPatchGAN, TemporalPatchGANConfig(width=2)))


@pytest.fixture(scope="module")
def params() -> Params:
    return jax.jit(NETWORK.init)(jax.random.key(0))


def test_six_convolutions_of_three_frames_and_five_by_five_pixels():
    published = functionalize(Constructor(TemporalPatchGAN, TemporalPatchGANConfig()))
    kernels = [x.shape for name, x in published.shapes.items() if name.endswith("kernel")]

    widths = [3, 64, 128, 256, 256, 256, 256]
    assert kernels == [(3, 5, 5, *pair) for pair in itertools.pairwise(widths)]


def test_scores_are_those_of_normalised_convolutions(params: Params):
    """In NumPy, with the singular values of the whole kernels."""
    exact = dict(params)
    for _ in range(300):
        exact |= jax.jit(refresh_vectors)(exact)
    frames = np.random.default_rng(0).uniform(-1, 1, (1, 3, 7, 6, 3)).astype(np.float32)
    scores = jax.jit(NETWORK.__call__)(exact, frames)

    x = frames.astype(np.float64)
    for i in range(6):
        kernel = np.asarray(params[f"convs.{i}.kernel"], np.float64)
        kernel /= np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
        padded = np.pad(x, [(0, 0), (1, 1), (2, 2), (2, 2), (0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 5, 5), axis=(1, 2, 3))
        x = np.einsum("bfhwctyx,tyxcd->bfhwd", windows[:, :, ::2, ::2], kernel)
        x = np.where(x < 0, 0.2 * x, x) if i < 5 else x
    assert scores.shape == (1, 3, 1, 1, 8)
    np.testing.assert_allclose(scores, x, rtol=1e-3, atol=1e-6)


def test_vectors_converge_and_have_no_gradient(params: Params):
    kernel, u = params["convs.2.kernel"], params["convs.2.u"]
    first = refresh_vectors({"a.kernel": kernel, "a.u": u, "b.kernel": kernel})

    assert list(first) == ["a.u"]
    assert np.linalg.norm(first["a.u"]) == pytest.approx(1, rel=1e-6)
    matrix = np.asarray(kernel).reshape(-1, kernel.shape[-1])
    largest = np.linalg.svd(matrix, compute_uv=False)[0]
    errors = [largest - float(largest_singular_value(kernel, x)) for x in (u, first["a.u"])]
    assert 0 <= errors[1] < errors[0]
    gradients = jax.grad(lambda k, u: largest_singular_value(k, u), (0, 1))(kernel, u)
    assert not np.any(gradients[1])
    # That of a singular value is the product of its vectors.
    v = matrix @ (u / np.linalg.norm(u))
    expected = np.outer(v / np.linalg.norm(v), u / np.linalg.norm(u))
    np.testing.assert_allclose(gradients[0].reshape(expected.shape), expected, atol=1e-6)


def test_a_scaled_kernel_scores_equally(params: Params):
    frames = jax.random.uniform(jax.random.key(1), (1, 2, 6, 6, 3))
    scaled = {n: 3 * x if n.endswith("kernel") else x for n, x in params.items()}
    run = jax.jit(NETWORK.__call__)

    np.testing.assert_allclose(run(scaled, frames), run(params, frames), rtol=1e-4, atol=1e-7)
    assert jnp.abs(run(params, frames)).max() > 1e-5
