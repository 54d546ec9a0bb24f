"""The compiled parts of a VEnhancer run: text, encode, denoise, decode, finish.

Numbers that change between runs (guidance, noise levels, conditions) are arrays, so that a change
of prompt, steps or guidance compiles nothing.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.guidance import guide, v_to_x0
from venhancer_jax.models.functional import Network, Params
from venhancer_jax.models.vae import Posterior
from venhancer_jax.pipelines.program import program
from venhancer_jax.sharding.mesh import constrain

VIDEO_AXES = ("batch", "frame", None, None, None)


@program("network")
def embed_text(network: Network, params: Params, tokens: jax.Array) -> jax.Array:
    """`[B, 77]` tokens to `[B, 77, D]` features."""
    return network(params, tokens)


@program("network")
def encode(network: Network, params: Params, frames: jax.Array) -> Posterior:
    """`[B, F, H, W, 3]` in [-1, 1] to raw latents."""
    return network.bind(params).encode(frames)


@program("network")
def decode(network: Network, params: Params, latents: jax.Array) -> jax.Array:
    """`[B, F, h, w, 4]` latents of the diffusion networks to frames `[B, F, H, W, 3]`."""
    return network.bind(params).decode_latents(latents)


@program("network")
def denoise(
    network: Network,
    params: Params,
    x: jax.Array,
    t: np.integer,
    levels: tuple[jax.Array, jax.Array],
    text: jax.Array,
    guidance: tuple[jax.Array, jax.Array],
    conditions: dict[str, jax.Array],
) -> jax.Array:
    """Clean latents of one window.

    Args:
      network: UNet and ControlNet.
      params: of it.
      x: network input `[1, F, h, w, 4]`.
      t: whole time step `[]`.
      levels: alpha and sigma at `t`.
      text: features of the prompt and of the negative prompt `[2, L, D]`; `[1, L, D]` of the
        prompt alone goes without guidance.
      guidance: scale and rescale.
      conditions: hint `[1, K, h, w, 4]`, hint_t `[1]`, scale `[1]`, key_index `[1, F]`.

    Returns:
      `[1, F, h, w, 4]` float32.
    """
    pair = text.shape[0]

    def twice(value: jax.Array) -> jax.Array:
        return jnp.concatenate([value] * pair)

    videos = constrain(twice(x), VIDEO_AXES)
    both = {name: twice(value) for name, value in conditions.items()}
    v = network(params, videos, jnp.broadcast_to(jnp.asarray(t), (pair,)), text, **both)
    if pair == 2:
        v = guide(v[:1], v[1:], *guidance)
    return v_to_x0(x, v, *levels)


@partial(jax.jit, static_argnums=1)
def to_bytes(frames: jax.Array, truncate: bool) -> jax.Array:
    """Frames in [-1, 1], clipped, to uint8; truncated like the official program, or rounded."""
    scaled = jnp.clip(frames * 0.5 + 0.5, 0, 1) * 255
    return (scaled if truncate else jnp.round(scaled)).astype(jnp.uint8)
