"""Compiled programs that systems share: text features, VAE encoding and decoding, bytes.

Parameters and whatever changes between runs are arguments, so only a new shape compiles.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from venhancer_jax.models.autoencoders.vae import DiagonalGaussian
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.layers.chunking import map_chunks
from venhancer_jax.sharding.mesh import constrain
from venhancer_jax.sharding.params import all_gathered
from venhancer_jax.sharding.shard_map import shard_map_over

# Logical axes of what a VAE works on: n frames, or n chunks of frames, each by itself.
PIECES = ("piece", None, None, None, None)


@partial(jax.jit, static_argnames="network")
def embed_text(network: FunctionalModule, params: Params, tokens: jax.Array) -> jax.Array:
    """Computes features `[B, L, D]` of tokens `[B, L]`."""
    return network(all_gathered(params), tokens)


@partial(jax.jit, static_argnames="network")
def encode(network: FunctionalModule, params: Params, frames: jax.Array) -> DiagonalGaussian:
    """Encodes frames `[n, 1, H, W, 3]` in [-1, 1] to raw latents `[n, 1, h, w, C]`.

    Each device encodes its own frames, one after the other.
    """

    def moments(params: Params, frames: jax.Array) -> jax.Array:
        posterior = network.bind(params).encode(frames)
        return jnp.concatenate([posterior.mean, posterior.log_variance], axis=-1)

    return DiagonalGaussian(*jnp.split(_map_pieces(moments, params, frames), 2, axis=-1))


@partial(jax.jit, static_argnames="network")
def decode(network: FunctionalModule, params: Params, latents: jax.Array) -> jax.Array:
    """Decodes diffusion latents `[n, F, h, w, C]` to frames `[n, F, H, W, 3]` in about [-1, 1].

    Each device decodes its own chunks of F frames, one after the other.
    """

    def frames(params: Params, latents: jax.Array) -> jax.Array:
        return network.bind(params).decode_latents(latents)

    return _map_pieces(frames, params, latents)


@partial(jax.jit, static_argnames="truncate")
def to_bytes(frames: jax.Array, *, truncate: bool) -> jax.Array:
    """Clips frames `[F, H, W, 3]` in [-1, 1] and converts them to uint8, whole on every device.

    Args:
      frames: any number of frames.
      truncate: truncate instead of rounding.
    """
    scaled = jnp.clip(frames * 0.5 + 0.5, 0, 1) * 255
    pixels = (scaled if truncate else jnp.round(scaled)).astype(jnp.uint8)
    return constrain(pixels, (None,) * pixels.ndim)


def _map_pieces(
    function: Callable[[Params, jax.Array], jax.Array], params: Params, pieces: jax.Array
) -> jax.Array:
    """Applies a function to pieces `[n, ...]` one by one, on every device to its own pieces."""

    def per_device(params: Params, pieces: jax.Array) -> jax.Array:
        return map_chunks(lambda piece: function(params, piece), [pieces], 1)

    return shard_map_over(per_device, [pieces], [PIECES], PIECES, params=all_gathered(params))
