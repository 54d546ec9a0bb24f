"""The compiled parts of a VEnhancer run: text, encode, denoise, decode, finish.

Numbers that change between runs (guidance, noise levels, conditions) are arrays, so that a change
of prompt, steps or guidance compiles nothing.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.guidance import guide, v_to_x0
from venhancer_jax.models.chunks import in_chunks
from venhancer_jax.models.functional import Network, Params
from venhancer_jax.models.unet3d import VIDEO_AXES
from venhancer_jax.models.vae import Posterior
from venhancer_jax.sharding.local import locally
from venhancer_jax.sharding.mesh import constrain

PIECES = ("piece", None, None, None, None)


@partial(jax.jit, static_argnums=0)
def embed_text(network: Network, params: Params, tokens: jax.Array) -> jax.Array:
    """`[B, 77]` tokens to `[B, 77, D]` features."""
    return network(params, tokens)


@partial(jax.jit, static_argnums=0)
def encode(network: Network, params: Params, frames: jax.Array) -> Posterior:
    """Frames `[n, 1, H, W, 3]` in [-1, 1] to raw latents, each device its own frames."""
    vae = network.bind(params)

    def moments(frames: jax.Array) -> jax.Array:
        posterior = vae.encode(frames)
        return jnp.concatenate([posterior.mean, posterior.log_variance], axis=-1)

    made = locally(lambda *own: in_chunks(moments, own, 1), [frames], [PIECES], PIECES)
    return Posterior(*jnp.split(made, 2, axis=-1))


@partial(jax.jit, static_argnums=0)
def decode(network: Network, params: Params, latents: jax.Array) -> jax.Array:
    """Latents of the diffusion networks `[n, F, h, w, 4]` to frames `[n, F, H, W, 3]`.

    Each device decodes its own of the n chunks, one after the other.
    """
    decode_latents = network.bind(params).decode_latents
    return locally(lambda *own: in_chunks(decode_latents, own, 1), [latents], [PIECES], PIECES)


@partial(jax.jit, static_argnums=0)
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
    """Clean latents of some windows.

    Args:
      network: UNet and ControlNet.
      params: of it.
      x: network input `[n, F, h, w, 4]`.
      t: whole time step `[]`.
      levels: alpha and sigma at `t`.
      text: features of the prompt and of the negative prompt `[2, L, D]`; `[1, L, D]` of the
        prompt alone goes without guidance.
      guidance: scale and rescale.
      conditions: hint `[n, K, h, w, 4]`, hint_t `[n]`, scale `[n]`, key_index `[n, F]`.

    Returns:
      `[n, F, h, w, 4]` float32.
    """
    windows, pair = x.shape[0], text.shape[0]

    def for_each_text(value: jax.Array) -> jax.Array:
        return jnp.concatenate([value] * pair)

    videos = constrain(for_each_text(x), VIDEO_AXES)
    given = {name: for_each_text(value) for name, value in conditions.items()}
    times = jnp.broadcast_to(jnp.asarray(t), windows * pair)
    v = network(params, videos, times, jnp.repeat(text, windows, axis=0), **given)
    if pair == 2:
        v = guide(v[:windows], v[windows:], *guidance)
    return v_to_x0(x, v, *levels)


@partial(jax.jit, static_argnums=1)
def to_bytes(frames: jax.Array, truncate: bool) -> jax.Array:
    """Frames in [-1, 1], clipped, to uint8; truncated like the official program, or rounded."""
    scaled = jnp.clip(frames * 0.5 + 0.5, 0, 1) * 255
    made = (scaled if truncate else jnp.round(scaled)).astype(jnp.uint8)
    return constrain(made, (None,) * made.ndim)  # every process gets all of them
