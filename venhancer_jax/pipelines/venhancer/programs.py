"""The compiled parts of a VEnhancer run: text, its projections, encode, denoise, decode, finish.

Numbers that change between runs (guidance, noise levels, conditions) are arrays, so that a change
of prompt, steps or guidance compiles nothing.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import repeat

from venhancer_jax.diffusion.guidance import guide, v_to_x0
from venhancer_jax.models.autoencoders.vae import DiagonalGaussian
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.layers import text_kv_cache
from venhancer_jax.models.layers.chunking import map_chunks
from venhancer_jax.models.layers.text_kv_cache import Text, TextKVCache
from venhancer_jax.models.venhancer.unet3d import VIDEO_AXES
from venhancer_jax.pipelines.venhancer.step_cache import Kept, Source, Work
from venhancer_jax.sharding.mesh import constrain
from venhancer_jax.sharding.params import all_gathered
from venhancer_jax.sharding.shard_map import shard_map_over

PIECES = ("piece", None, None, None, None)


@partial(jax.jit, static_argnames="network")
def embed_text(network: FunctionalModule, params: Params, tokens: jax.Array) -> jax.Array:
    """`[B, 77]` tokens to `[B, 77, D]` features."""
    return network(all_gathered(params), tokens)


@partial(jax.jit, static_argnames="network")
def compute_text_kv(network: FunctionalModule, params: Params, text: jax.Array) -> TextKVCache:
    """Features `[B, L, D]` to keys and values for every transformer of UNet and ControlNet."""
    return text_kv_cache.compute_text_kv(network.bind(all_gathered(params)), text)


@partial(jax.jit, static_argnames="network")
def encode(network: FunctionalModule, params: Params, frames: jax.Array) -> DiagonalGaussian:
    """Frames `[n, 1, H, W, 3]` in [-1, 1] to raw latents, each device its own frames."""

    def moments(params: Params, frames: jax.Array) -> jax.Array:
        posterior = network.bind(params).encode(frames)
        return jnp.concatenate([posterior.mean, posterior.log_variance], axis=-1)

    return DiagonalGaussian(*jnp.split(_one_by_one(moments, params, frames), 2, axis=-1))


@partial(jax.jit, static_argnames="network")
def decode(network: FunctionalModule, params: Params, latents: jax.Array) -> jax.Array:
    """Latents of the diffusion networks `[n, F, h, w, 4]` to frames `[n, F, H, W, 3]`.

    Each device decodes its own of the n chunks, one after the other.
    """

    def frames(params: Params, latents: jax.Array) -> jax.Array:
        return network.bind(params).decode_latents(latents)

    return _one_by_one(frames, params, latents)


def _one_by_one(
    function: Callable[[Params, jax.Array], jax.Array], params: Params, pieces: jax.Array
) -> jax.Array:
    """A function of pieces `[n, ...]`, on every device of its own pieces one by one."""

    def own(params: Params, pieces: jax.Array) -> jax.Array:
        return map_chunks(lambda piece: function(params, piece), [pieces], 1)

    return shard_map_over(own, [pieces], [PIECES], PIECES, params=all_gathered(params))


@partial(jax.jit, static_argnames="network")
def denoise(
    network: FunctionalModule,
    params: Params,
    x: jax.Array,
    t: np.integer,
    levels: tuple[jax.Array, jax.Array],
    text: Text,
    guidance: tuple[jax.Array, jax.Array],
    conditions: dict[str, jax.Array],
) -> jax.Array:
    """Clean latents of some windows.

    Args:
      network: UNet and ControlNet.
      params: of it.
      x: network input `[n, F, h, w, 4]`.
      t: whole time step `[]`.
      levels: alpha and sigma at `t`.
      text: features of the prompt and of the negative prompt `[2, L, D]`, or the projections of
        them; `[1, L, D]` of the prompt alone goes without guidance.
      guidance: scale and rescale.
      conditions: hint `[n, K, h, w, 4]`, hint_t `[n]`, scale `[n]`, key_index `[n, F]`.

    Returns:
      `[n, F, h, w, 4]` float32.
    """
    work = Work() if jax.tree.leaves(text)[0].shape[0] == 2 else Work(difference=None)
    return _denoise(network, work, params, x, t, levels, text, guidance, conditions, Kept())[0]


@partial(jax.jit, static_argnames=("network", "work"))
def denoise_reusing(
    network: FunctionalModule,
    work: Work,
    params: Params,
    x: jax.Array,
    t: np.integer,
    levels: tuple[jax.Array, jax.Array],
    text: Text,
    guidance: tuple[jax.Array, jax.Array],
    conditions: dict[str, jax.Array],
    kept: Kept,
) -> tuple[jax.Array, Kept]:
    """`denoise` with a part of its work; each kind of work is a program of its own.

    Args:
      network: as of `denoise`, like all that is not named here.
      work: what is computed, kept and reused.
      params: of the network.
      x: network input.
      t: time step.
      levels: at `t`.
      text: of the prompt, and of the negative prompt where there is guidance.
      guidance: scale and rescale.
      conditions: by name.
      kept: of earlier calls, with all that `work` reuses.

    Returns:
      Clean latents, and what `work` keeps.
    """
    return _denoise(network, work, params, x, t, levels, text, guidance, conditions, kept)


def _denoise(
    network: FunctionalModule,
    work: Work,
    params: Params,
    x: jax.Array,
    t: np.integer,
    levels: tuple[jax.Array, jax.Array],
    text: Text,
    guidance: tuple[jax.Array, jax.Array],
    conditions: dict[str, jax.Array],
    kept: Kept,
) -> tuple[jax.Array, Kept]:
    batch, halves = x.shape[0], work.halves

    def of_halves(value: jax.Array) -> jax.Array:
        return repeat(value, "n ... -> (halves n) ...", halves=halves)

    def of_videos(value: jax.Array) -> jax.Array:
        return repeat(value[:halves], "halves ... -> (halves n) ...", n=batch)

    def reused(source: Source, value: Any) -> Any:
        # A pair that was kept serves a call of its conditional half too.
        return jax.tree.map(lambda y: y[: halves * batch], value) if source == "reuse" else None

    v, control, deep = network.bind(all_gathered(params)).with_features(
        constrain(of_halves(x), VIDEO_AXES),
        jnp.broadcast_to(jnp.asarray(t), (halves * batch,)),
        jax.tree.map(of_videos, text),
        jax.tree.map(of_halves, conditions),
        control=reused(work.control, kept.control),
        deep=reused(work.deep, kept.deep),
    )
    difference = None
    if work.difference is not None:
        conditional = v[:batch]
        # Kept as it is: v has the same size at all noise levels, and so the pull on the clean
        # latents fades with the noise as that of a new difference does.
        difference = kept.difference if halves == 1 else conditional - v[batch:]
        unconditional = conditional - difference if halves == 1 else v[batch:]
        v = guide(conditional, unconditional, *guidance)
    new = Kept(
        difference=difference if work.difference == "keep" else None,
        control=control if work.control == "keep" else None,
        deep=deep if work.deep == "keep" else None,
    )
    return v_to_x0(x, v, *levels), new


@partial(jax.jit, static_argnums=1)
def to_bytes(frames: jax.Array, truncate: bool) -> jax.Array:
    """Frames in [-1, 1], clipped, to uint8; truncated like the official program, or rounded."""
    scaled = jnp.clip(frames * 0.5 + 0.5, 0, 1) * 255
    made = (scaled if truncate else jnp.round(scaled)).astype(jnp.uint8)
    return constrain(made, (None,) * made.ndim)  # every process gets all of them
