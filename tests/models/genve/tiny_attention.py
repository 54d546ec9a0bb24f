"""A small local-aware cross-attention, and its formula in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from models.tiny_networks import normal
from pipelines.tiny_system import random_params

from venhancer_jax.models.functional import Constructor, FunctionalModule, Params, functionalize
from venhancer_jax.models.genve.config import GenVEConfig
from venhancer_jax.models.genve.local_attention import LocalAwareCrossAttention

# Frames of 6 x 10 patches: windows of 4 x 4 do not divide them.
SHAPE = (2, 3, 12, 20, 4)
GRID = (6, 10)
VIDEO, REFERENCE = normal(0, *SHAPE), normal(1, *SHAPE)


def built(**changes) -> tuple[FunctionalModule, Params]:
    """Returns an attention of four heads, and parameters under which every input matters."""
    config = GenVEConfig(width=64, head_dim=16, **changes)
    network = functionalize(Constructor(LocalAwareCrossAttention, config))
    return network, random_params(network)


def fresh_attention(config: GenVEConfig) -> Params:
    """Creates the parameters `lca.*` of a network that has not been trained."""
    network = functionalize(Constructor(LocalAwareCrossAttention, config))
    fresh = jax.jit(network.init)(jax.random.key(0))
    return {f"lca.{name}": x for name, x in fresh.items()}


@functools.partial(jax.jit, static_argnums=0)
def attend(network: FunctionalModule, params: Params, video, reference, permutation=None):
    """Computes the texture."""
    return network(params, video, reference, permutation)


def projected(params: Params, name: str, norm: str, latents: np.ndarray) -> np.ndarray:
    """Computes normalised patches `[B, F, N, width]` by a convolution of stride 2, in float64."""
    kernel = np.float64(params[f"{name}.kernel"]).reshape(2, 2, latents.shape[-1], -1)
    rows = [[np.float64(latents[..., p::2, q::2, :]) for q in range(2)] for p in range(2)]
    patches = sum(rows[p][q] @ kernel[p, q] for p in range(2) for q in range(2))
    patches = patches + params[f"{name}.bias"]
    patches = patches - patches.mean(-1, keepdims=True)
    patches = patches / np.sqrt(patches.var(-1, keepdims=True) + 1e-5)
    out = patches * params[f"{norm}.scale"] + params[f"{norm}.bias"]
    return out.reshape(*out.shape[:2], -1, out.shape[-1])


def values(params: Params, reference: np.ndarray) -> np.ndarray:
    """Computes the values `[B, F, N, width]` of a reference in float64."""
    patches = projected(params, "reference_patches", "reference_norm", reference)
    return patches @ np.float64(params["value.kernel"])


def expected(
    params: Params, video: np.ndarray, reference: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Computes `softmax(Q K^T / sqrt(16) + bias) V`, `[B, F, N, width]`, in float64.

    Args:
      params: parameters of the attention.
      video: latents of the video.
      reference: latents of the reference.
      bias: numbers added to the scores, `[heads, N, N]` or shaped like a part of them.
    """
    query = projected(params, "video_patches", "video_norm", video) @ params["query.kernel"]
    key = projected(params, "reference_patches", "reference_norm", reference)
    key = key @ params["key.kernel"]
    value = values(params, reference)
    query, key, value = (x.reshape(*x.shape[:3], -1, 16) for x in (query, key, value))
    scores = np.einsum("bfnhd,bfmhd->bfhnm", query, key) / 4 + bias
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    out = np.einsum("bfhnm,bfmhd->bfnhd", weights, value)
    return out.reshape(*out.shape[:3], -1)


def assert_near(found: jax.Array, wanted: np.ndarray, tolerance: float = 1e-6) -> None:
    """Asserts that features differ by less than a share of the largest one."""
    found = np.asarray(found, np.float64).reshape(wanted.shape)
    assert np.abs(found - wanted).max() < tolerance * np.abs(wanted).max()


def as_grid(x: np.ndarray | jax.Array) -> jnp.ndarray:
    """Reshapes `[B, F, N, width]` to `[B, F, h, w, width]`."""
    return jnp.asarray(x).reshape(*x.shape[:2], *GRID, x.shape[-1])
