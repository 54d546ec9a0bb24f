"""Carries the latent of a sharp key frame to all frames: noise, then warp, then mask.

GenVE paper, section 3.3. The order matters: noise that is warped with the picture moves with it.
"""

import jax
import jax.numpy as jnp
from einops import rearrange, repeat

from venhancer_jax.diffusion.propagation import warp


def warp_to_frames(reference: jax.Array, flow: jax.Array) -> jax.Array:
    """Warps the noisy latent of a key frame to each frame, by its nearest latent.

    Nearest latents keep the variance of the noise, which interpolation would reduce.

    Args:
      reference: noisy latents `[B, h, w, C]` of the key frame.
      flow: displacements `[B, F, h, w, 2]` from each frame to the key frame, columns then rows, in
        latents.

    Returns:
      `[B, F, h, w, C]`, 0 where a frame shows what lies outside of the key frame.
    """
    frames = flow.shape[1]
    copies = repeat(reference, "b h w c -> (b f) h w c", f=frames)
    warped = warp(copies, rearrange(flow, "b f h w d -> (b f) h w d"))
    return rearrange(warped, "(b f) h w c -> b f h w c", f=frames)


def mask_patches(key: jax.Array, reference: jax.Array, ratio: jax.Array, patch: int) -> jax.Array:
    """Sets random patches of each frame of a reference to 0, in all channels.

    Args:
      key: random key.
      reference: latents `[B, F, h, w, C]`.
      ratio: probability `[B]` of each patch to be masked.
      patch: rows and columns of a patch, which divide `h` and `w`.
    """
    batch, frames, height, width, _ = reference.shape
    cells = (batch, frames, height // patch, width // patch)
    kept = jax.random.uniform(key, cells) >= ratio[:, None, None, None]
    kept = repeat(kept, "b f h w -> b f (h p) (w q) 1", p=patch, q=patch)
    return jnp.where(kept, reference, 0)
