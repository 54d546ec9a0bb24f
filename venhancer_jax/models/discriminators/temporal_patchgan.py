"""The temporal PatchGAN: a discriminator that scores overlapping space-time patches of a clip.

Six convolutions of 3x5x5, the strides and widths of Chang et al. 2019 ("Free-form Video
Inpainting with 3D Gated Convolution and Temporal PatchGAN", section 3.3), each kernel divided by
its largest singular value (Miyato et al. 2018, "Spectral Normalization", algorithm 1).
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.functional import Params
from venhancer_jax.models.layers.initializers import fan_in_normal
from venhancer_jax.models.layers.linear import matmul_precision

# Channels of each convolution, in units of the width of the first.
_WIDTHS = (1, 2, 4, 4, 4, 4)
_SIZE, _STRIDES, _PADDING = (3, 5, 5), (1, 2, 2), ((1, 1), (2, 2), (2, 2))
_SLOPE = 0.2
# Last part of the names of power-iteration vectors.
_VECTOR = "u"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TemporalPatchGANConfig:
    """Sizes of the temporal PatchGAN.

    Attributes:
      width: channels of the first convolution; 64 as published.
      dtype: type of activations; kernels are normalised in float32.
    """

    width: int = 64
    dtype: DTypeLike = jnp.float32


class SpectralConv(nnx.Module):
    """A space-time convolution whose kernel is divided by its largest singular value.

    The value is estimated by a vector `u`, which no gradient updates: `refresh_vectors` does.
    """

    def __init__(self, channels_in: int, channels_out: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        shape = (*_SIZE, channels_in, channels_out)
        self.kernel = nnx.Param(fan_in_normal(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(channels_out))
        self.u = nnx.Param(jax.random.normal(rngs.params(), (channels_out,)))
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolves `[B, F, H, W, C]` to `[B, F, H / 2, W / 2, C']`, sizes rounded up."""
        kernel = self.kernel[...]
        kernel = kernel / largest_singular_value(kernel, self.u[...])
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            _STRIDES,
            _PADDING,
            dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
            precision=matmul_precision(self.dtype),
        )
        return y + self.bias[...].astype(self.dtype)


class TemporalPatchGAN(nnx.Module):
    """Scores of patches of 3 to 13 frames: positive for real ones, negative for generated ones."""

    def __init__(self, config: TemporalPatchGANConfig, rngs: nnx.Rngs):
        channels = [3, *(config.width * n for n in _WIDTHS)]
        self.convs = nnx.List(
            SpectralConv(before, after, dtype=config.dtype, rngs=rngs)
            for before, after in itertools.pairwise(channels)
        )

    def __call__(self, frames: jax.Array) -> jax.Array:
        """Scores patches.

        Args:
          frames: frames `[B, F, H, W, 3]` in [-1, 1].

        Returns:
          Scores `[B, F, H / 64, W / 64, 4 width]` float32, sizes rounded up.
        """
        *convs, last = self.convs
        for conv in convs:
            frames = nnx.leaky_relu(conv(frames), _SLOPE)
        return last(frames).astype(jnp.float32)


def largest_singular_value(kernel: jax.Array, u: jax.Array) -> jax.Array:
    """Estimates the largest singular value of a kernel as a matrix `[inputs, C]`.

    Args:
      kernel: kernel `[..., C]`, the only argument with a gradient.
      u: vector `[C]` of the power iteration, of any length but zero.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])
    u = _normalised(u)
    v = _normalised(matrix @ u)
    return jax.lax.stop_gradient(v) @ matrix @ jax.lax.stop_gradient(u)


def refresh_vectors(params: Params) -> Params:
    """Takes one step of the power iteration of every spectral convolution.

    Args:
      params: parameters of a network, by names of any prefix.

    Returns:
      The vectors only, by their names, of length 1.
    """
    vectors = {}
    for name in params:
        start, _, last = name.rpartition(".")
        if last == _VECTOR and (kernel := params.get(f"{start}.kernel")) is not None:
            matrix = kernel.reshape(-1, kernel.shape[-1])
            v = _normalised(matrix @ _normalised(params[name]))
            vectors[name] = _normalised(v @ matrix)
    return vectors


def _normalised(x: jax.Array) -> jax.Array:
    return x / (jnp.linalg.norm(x) + 1e-12)
