"""A linear shortcut past the convolutions of the VAE, which learn the residual.

Residual autoencoding (Chen et al. 2025, "Deep Compression Autoencoder", section 3.1) with learned
maps that start as a cosine transform, so that an untrained VAE already is a blurry one.
"""

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.layers.linear import Linear

# Variance of the two colour differences in natural pictures, where that of brightness is 1.
_COLOUR_VARIANCE = 0.1


class PatchToLatent(nnx.Module):
    """A linear map from square patches of pixels to latents."""

    def __init__(self, patch: int, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.linear = Linear(
            3 * patch**2, channels, use_bias=False, kernel_init=_cosines, dtype=dtype, rngs=rngs
        )
        self.patch = patch

    def __call__(self, frames: jax.Array) -> jax.Array:
        """Maps frames `[B, F, H, W, 3]` to latents `[B, F, h, w, C]`."""
        patches = rearrange(
            frames, "b f (h y) (w x) c -> b f h w (y x c)", y=self.patch, x=self.patch
        )
        return self.linear(patches)


class LatentToPatch(nnx.Module):
    """A linear map from latents to square patches of pixels."""

    def __init__(self, patch: int, channels: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.linear = Linear(
            channels, 3 * patch**2, use_bias=False, kernel_init=_cosines, dtype=dtype, rngs=rngs
        )
        self.patch = patch

    def __call__(self, latents: jax.Array) -> jax.Array:
        """Maps latents `[B, F, h, w, C]` to frames `[B, F, H, W, 3]`."""
        return rearrange(
            self.linear(latents),
            "b f h w (y x c) -> b f (h y) (w x) c",
            y=self.patch,
            x=self.patch,
        )


def low_frequencies(patch: int, channels: int) -> np.ndarray:
    """Computes the orthonormal patterns with the most variance in natural pictures.

    Args:
      patch: rows and columns of a patch, in pixels.
      channels: number of patterns.

    Returns:
      Cosine waves in brightness and in two colour differences, low frequencies first,
      `[patch * patch * 3, channels]` float64.
    """
    n = np.arange(patch)
    waves = np.cos(np.pi * np.outer(n, n + 0.5) / patch)  # [frequency, position]
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    colours = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]], np.float64)
    colours /= np.linalg.norm(colours, axis=1, keepdims=True)
    pictures = np.einsum("uy,vx,kc->uvkyxc", waves, waves, colours).reshape(-1, 3 * patch**2)
    # The variance of a natural picture falls with the square of the frequency.
    u, v, k = np.indices((patch, patch, 3)).reshape(3, -1)
    variance = np.where(k == 0, 1.0, _COLOUR_VARIANCE) / (1 + u**2 + v**2)
    return pictures[np.argsort(-variance, kind="stable")[:channels]].T


def _cosines(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Initialises both maps; that to pixels is the transpose of that to latents."""
    del key
    into, channels = max(shape), min(shape)
    basis = low_frequencies(round((into / 3) ** 0.5), channels)
    return jnp.asarray(basis if shape[0] == into else basis.T, dtype)
