"""Training of Upscale-A-Video: its objectives, registered by `(system, name)`.

`diffusion` trains the UNet's temporal layers beside the frozen image upscaler, `decoder` the new
layers of the video VAE's decoder beside its frozen image layers. docs/training.md lists what the
paper leaves open, and what is chosen here.
"""

import dataclasses
from collections.abc import Mapping

import jax
from ml_collections import ConfigDict

from venhancer_jax.diffusion.schedule import scaled_linear_schedule
from venhancer_jax.errors import InputError
from venhancer_jax.models.discriminators.temporal_patchgan import (
    TemporalPatchGAN,
    TemporalPatchGANConfig,
)
from venhancer_jax.models.functional import Constructor, Params, functionalize
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.networks import compute_dtype
from venhancer_jax.pipelines.upscale_a_video.options import MAX_NOISE_LEVEL
from venhancer_jax.training.data import augment_config
from venhancer_jax.training.diffusion import Diffusion
from venhancer_jax.training.objective import Batch, to_signed
from venhancer_jax.training.tasks import (
    ObjectiveSpec,
    ParamLoader,
    Source,
    Task,
    check_choice,
    find_source,
)
from venhancer_jax.training.upscale_a_video.conditioning import Conditioning
from venhancer_jax.training.upscale_a_video.objectives import (
    Decoder,
    discriminator_group,
    discriminator_params,
)
from venhancer_jax.training.upscale_a_video.samples import MakeUpscaling
from venhancer_jax.training.upscale_a_video.start import added_names, split, starting_params

SYSTEM = "upscale_a_video"
# Index of each network, by which fresh parameters differ.
_NUMBERS = {SYSTEM: 0, "vae": 1, "text": 2, "discriminator": 3}


def _diffusion(config: ConfigDict, loader: ParamLoader) -> Task:
    """Creates the task of training the UNet, with a frozen VAE and text encoder."""
    check_choice("trainable", config.trainable, ("added", "all"))
    vae = _vae(config)
    _check_data(config, vae)
    unet = _unet(config)
    sources = {SYSTEM: unet, "vae": vae, "text": _text(config)}
    added = added_names(SYSTEM, unet, temporal=False)
    params = starting_params(loader, unet, _NUMBERS[SYSTEM], added, config.start)
    trains, rest = split(params, added, config.trainable)
    frozen = {
        name: loader.params(sources[name], _NUMBERS[name], sharded=False)
        for name in ("vae", "text")
    }
    conditioning = _conditioning(sources)

    def upscale(
        params: Mapping[str, Params], batch: Batch, key: jax.Array, steps: int
    ) -> jax.Array:
        example = conditioning.inputs(params, batch, key)
        latents = conditioning.sample(params[SYSTEM], example, key, steps=steps)
        vae = conditioning.vae.bind(params["vae"])
        return vae.decode(latents / conditioning.scaling_factor, to_signed(batch["low"]))

    return Task(
        name=SYSTEM,
        sources=sources,
        objective=Diffusion(conditioning),
        params=trains,
        frozen={"denoiser": rest, **frozen},
        sampler=MakeUpscaling(upscale),
        encode=conditioning.encode_clips,
    )


def _decoder(config: ConfigDict, loader: ParamLoader) -> Task:
    """Creates the task of training the new layers of the video VAE's decoder."""
    check_choice("trainable", config.trainable, ("added",))
    vae = _vae(config, video=True)
    _check_data(config, vae)
    added = added_names("vae", vae, condition_channels=0)
    params = starting_params(loader, vae, _NUMBERS["vae"], added, config.start)
    trains, rest = split(params, added, "added")
    # A UNet samples latents.
    others = {SYSTEM: _unet(config), "text": _text(config)} if config.prior else {}
    sources = {"vae": vae, **others}
    frozen = {
        name: loader.params(source, _NUMBERS[name], sharded=name == SYSTEM)
        for name, source in others.items()
    }
    weight, groups, discriminator = config.loss, (), None
    if weight.adversarial:
        sizes = TemporalPatchGANConfig(
            width=config.discriminator.width, dtype=compute_dtype(config.dtype)
        )
        discriminator = functionalize(Constructor(TemporalPatchGAN, sizes))
        source = Source(sizes, discriminator, "")
        judge = loader.params(source, _NUMBERS["discriminator"], sharded=True)
        trains |= discriminator_params(judge)
        groups = (discriminator_group(config.discriminator.learning_rate),)
    objective = Decoder(
        vae.network,
        vae.config.scaling_factor,
        discriminator,
        _conditioning(sources) if others else None,
        steps=config.validate_steps,
        pixel_weight=weight.pixel,
        perceptual_weight=weight.perceptual,
        adversarial_weight=weight.adversarial,
    )

    def upscale(
        params: Mapping[str, Params], batch: Batch, key: jax.Array, steps: int
    ) -> jax.Array:
        del steps  # a setting of the objective
        return objective.decode(params["vae"], params, batch, key)

    return Task(
        name="vae",
        sources=sources,
        objective=objective,
        params=trains,
        frozen={"denoiser": rest, **frozen, **loader.perceptual()},
        groups=groups,
        sampler=MakeUpscaling(upscale),
        encode=objective.sample_clips if others else None,
    )


def _conditioning(networks: Mapping[str, Source]) -> Conditioning:
    return Conditioning(
        networks[SYSTEM].network,
        networks["vae"].network,
        networks["text"].network,
        networks["vae"].config.scaling_factor,
        scaled_linear_schedule(),
    )


def _unet(config: ConfigDict) -> Source:
    """Returns the video UNet, whose folder may hold an image UNet."""
    source = find_source(
        config, SYSTEM, config.prior, dtype=compute_dtype(config.dtype), remat=config.remat
    )
    return _with_sizes(SYSTEM, source, temporal=True)


def _vae(config: ConfigDict, *, video: bool = False) -> Source:
    """Returns the VAE; for a video decoder the folder may hold an image VAE."""
    source = find_source(config, "vae", config.vae, dtype=compute_dtype(config.dtype))
    if not video:
        return source
    sizes = source.config
    channels = sizes.condition_channels or sizes.channels[0]  # as many as published
    return _with_sizes("vae", source, condition_channels=channels, remat=config.remat)


def _text(config: ConfigDict) -> Source:
    return find_source(config, "text", config.text)


def _with_sizes(kind: str, source: Source, **sizes: object) -> Source:
    changed = dataclasses.replace(source.config, **sizes)
    return Source(changed, catalog.build(kind, changed), source.folder)


def _check_data(config: ConfigDict, vae: Source) -> None:
    """Checks that low-resolution clips have the size of the latents.

    Raises:
      InputError: they have not, or frames are missing, or noise levels have no label.
    """
    factor, augment = vae.config.pixels_per_latent, augment_config(config)
    low = augment.low_size
    if (config.height, config.width) != (factor * low[0], factor * low[1]):
        raise InputError(
            f"clips of {config.height}x{config.width}, low-resolution clips of {low[0]}x{low[1]}:"
            f" expected {factor} times as large, so augment.enlarge=False,"
            f" augment.scales=({factor:.1f},) and a height and width that {factor} divides"
        )
    if augment.strides != (1,):
        raise InputError(f"augment.strides {augment.strides}: expected (1,), every frame")
    if augment.noise_levels[1] > MAX_NOISE_LEVEL + 1:
        raise InputError(
            f"augment.noise_levels {augment.noise_levels}: expected at most {MAX_NOISE_LEVEL + 1},"
            f" whose label is {MAX_NOISE_LEVEL}"
        )


OBJECTIVES = {
    (SYSTEM, "diffusion"): ObjectiveSpec(_diffusion, lambda config: False),
    (SYSTEM, "decoder"): ObjectiveSpec(_decoder),
}
