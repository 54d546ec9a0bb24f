"""How frames of VEnhancer are cut into tiles: for the encoder, the denoiser, the decoder."""

import dataclasses

import jax.numpy as jnp

from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.tiles import LEAST_AREA, Tiling, latents_that_fit
from venhancer_jax.pipelines.venhancer.options import ControlledOptions
from venhancer_jax.sharding.mesh import num_shards

# Latents that a tile sees beyond its core. With 4 no pixel of a decoder without attention differs
# by more than one level from that of a whole frame; with 6 the jump of the shipped model across the
# borders of the denoiser's tiles is that of whole frames within 1 percent.
_VAE_MARGIN, _VAE_MARGIN_ATTENTION = 4, 6
_DENOISER_MARGIN = 6
# Arrays of the first level that are held together: planned programs of the published networks take
# a little less.
_DENOISER_ARRAYS, _ENCODER_ARRAYS = 32, 8


def denoiser_tiling(denoiser: LoadedNetwork, pixels: int, options: ControlledOptions) -> Tiling:
    """Returns the tiles of the denoiser on the mesh in use; the published program has none.

    Args:
      denoiser: denoiser.
      pixels: rows and columns of pixels for each latent.
      options: options of the enhancement.
    """
    if not options.quirks.equal_tiles:
        return Tiling(margin=0)
    config = denoiser.config
    frames = options.window * (2 if options.guided else 1)
    area = latents_that_fit(
        denoiser.params,
        _DENOISER_ARRAYS * config.width * jnp.dtype(config.dtype).itemsize * frames,
        shards=num_shards("batch") * num_shards("frame") * num_shards("row"),
    )
    remainder, modulus = config.rows_modulus
    moduli = (remainder, modulus), (0, modulus)
    auto = Tiling(area=area, margin=_DENOISER_MARGIN, moduli=moduli)
    return auto.requested(options.tile, options.tile_overlap, pixels)


def encoder_tiling(vae: LoadedNetwork, options: ControlledOptions) -> Tiling:
    """Returns the tiles of the encoder on the mesh in use; the published program has none."""
    if not options.quirks.equal_tiles:
        return Tiling(margin=0)
    config = vae.config
    pixels = config.pixels_per_latent
    itemsize = jnp.dtype(config.encoder_dtype).itemsize
    latent_bytes = _ENCODER_ARRAYS * config.channels[0] * pixels**2 * itemsize
    auto = dataclasses.replace(
        decoder_tiling(config), area=latents_that_fit(vae.params, latent_bytes)
    )
    return auto.requested(options.tile, options.tile_overlap, pixels)


def decoder_tiling(vae: VAEConfig) -> Tiling:
    """Returns the tiles of the decoder unless options request others."""
    margin = _VAE_MARGIN_ATTENTION if vae.mid_attention else _VAE_MARGIN
    return Tiling(area=LEAST_AREA, margin=margin)
