"""Compiled programs that systems share: text, encoding, denoising step, decoding, bytes.

Parameters and whatever changes between runs (guidance, noise levels, conditions) are arguments, so
only a new shape compiles.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from einops import repeat

from venhancer_jax.diffusion.guidance import guide, v_to_x0
from venhancer_jax.models.autoencoders.vae import DiagonalGaussian
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.layers import text_kv_cache
from venhancer_jax.models.layers.chunking import map_chunks
from venhancer_jax.models.layers.text_kv_cache import Text, TextKVCache
from venhancer_jax.pipelines.step_cache import FeatureSource, StepCache, StepPlan
from venhancer_jax.sharding.mesh import VIDEO_AXES, constrain
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
def compute_text_kv(network: FunctionalModule, params: Params, text: jax.Array) -> TextKVCache:
    """Projects features `[B, L, D]` to keys and values for every transformer of the networks."""
    return text_kv_cache.compute_text_kv(network.bind(all_gathered(params)), text)


@partial(jax.jit, static_argnames=("network", "plan"))
def denoise(
    network: FunctionalModule,
    plan: StepPlan,
    params: Params,
    x: jax.Array,
    t: np.integer,
    levels: tuple[jax.Array, jax.Array],
    text: Text,
    guidance: tuple[jax.Array, jax.Array],
    conditions: dict[str, jax.Array],
    cache: StepCache,
) -> tuple[jax.Array, StepCache]:
    """Computes the clean latents of some windows.

    Args:
      network: denoiser, whose method `with_features` returns v, the features of its ControlNet if
        it has one, and those below its first level.
      plan: what is computed, stored and reused; each plan is a program of its own.
      params: parameters of the denoiser, flat dictionary.
      x: noisy latents `[n, F, h, w, C]` of n windows.
      t: whole time step `[]`.
      levels: signal level alpha and noise level sigma at `t`.
      text: features of prompt and negative prompt `[2, L, D]`, or their keys and values; of the
        prompt alone without guidance.
      guidance: guidance scale and rescale.
      conditions: what the denoiser is conditioned on, `[n, ...]` each.
      cache: results of earlier calls that `plan` reuses.

    Returns:
      Clean latents `[n, F, h, w, C]` float32, and the results that `plan` stores.
    """
    windows, copies = x.shape[0], plan.guidance_batch

    def for_guidance(value: jax.Array) -> jax.Array:
        return repeat(value, "n ... -> (copies n) ...", copies=copies)

    def for_windows(value: jax.Array) -> jax.Array:
        return repeat(value[:copies], "copies ... -> (copies n) ...", n=windows)

    def reused(source: FeatureSource, value: Any) -> Any:
        # Results of a guidance pair also serve a call of its conditional part.
        return jax.tree.map(lambda y: y[: copies * windows], value) if source == "reuse" else None

    v, control, deep_features = network.bind(all_gathered(params)).with_features(
        constrain(for_guidance(x), VIDEO_AXES),
        jnp.broadcast_to(jnp.asarray(t), (copies * windows,)),
        jax.tree.map(for_windows, text),
        jax.tree.map(for_guidance, conditions),
        control=reused(plan.control, cache.control),
        deep=reused(plan.deep_features, cache.deep_features),
    )
    difference = None
    if plan.difference is not None:
        conditional = v[:windows]
        # A difference of v has the same size at all noise levels, so its pull on the clean latents
        # fades with the noise as that of a new difference does.
        difference = cache.difference if copies == 1 else conditional - v[windows:]
        unconditional = conditional - difference if copies == 1 else v[windows:]
        v = guide(conditional, unconditional, *guidance)
    stored = StepCache(
        difference=difference if plan.difference == "store" else None,
        control=control if plan.control == "store" else None,
        deep_features=deep_features if plan.deep_features == "store" else None,
    )
    return v_to_x0(x, v, *levels), stored


@partial(jax.jit, static_argnames="network")
def decode(
    network: FunctionalModule,
    params: Params,
    latents: jax.Array,
    condition: jax.Array | None = None,
) -> jax.Array:
    """Decodes diffusion latents to frames `[n, F, H, W, 3]` in about [-1, 1].

    Each device decodes its own chunks of F frames, one after the other.

    Args:
      network: VAE.
      params: parameters of the VAE, flat dictionary.
      latents: n chunks of latents `[n, F, h, w, C]`.
      condition: low-resolution frames `[n, F, h, w, 3]`, for a decoder that sees them.
    """

    def frames(params: Params, latents: jax.Array, *condition: jax.Array) -> jax.Array:
        return network.bind(params).decode_latents(latents, *condition)

    return _map_pieces(frames, params, latents, *([] if condition is None else [condition]))


@partial(jax.jit, static_argnames=("truncate", "dtype"))
def to_bytes(
    frames: jax.Array | np.ndarray, *, truncate: bool, dtype: npt.DTypeLike = np.uint8
) -> jax.Array:
    """Clips frames `[F, H, W, 3]` in [-1, 1] and converts them to integers, whole on every device.

    Args:
      frames: any number of frames.
      truncate: truncate instead of rounding.
      dtype: uint8, or uint16 with white at 65,535.
    """
    if dtype != np.uint8:
        frames = frames.astype(jnp.float32)
    scaled = jnp.clip(frames * 0.5 + 0.5, 0, 1) * np.iinfo(dtype).max
    pixels = (scaled if truncate else jnp.round(scaled)).astype(np.dtype(dtype))
    return constrain(pixels, (None,) * pixels.ndim)


def _map_pieces(
    function: Callable[..., jax.Array], params: Params, *pieces: jax.Array
) -> jax.Array:
    """Applies a function to pieces `[n, ...]` one by one, on every device to its own pieces."""

    def per_device(params: Params, *pieces: jax.Array) -> jax.Array:
        return map_chunks(lambda *piece: function(params, *piece), pieces, 1)

    return shard_map_over(
        per_device, pieces, [PIECES] * len(pieces), PIECES, params=all_gathered(params)
    )
