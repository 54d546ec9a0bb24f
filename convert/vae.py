"""Rules of the VAE checkpoints.

Three layouts are in use: the one of diffusers, its older form with other names in the attention,
and the one of the original Stable Diffusion checkpoints. Decoders that see the input have further
layers in the layouts of diffusers.
"""

import dataclasses
from collections.abc import Callable, Collection

from venhancer_jax.convert.hub import HubFile
from venhancer_jax.convert.rules import Layouts, Source, Table, conv1x1, temporal_conv, under
from venhancer_jax.models.autoencoders.config import VAEConfig

_RESNET: Table = {"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2"}
_CONV_3D: Table = {"norm_3d": "norm_3d", "conv_3d": "conv_3d"}
_TEMPORAL: Table = {
    "norm1": "norm1",
    "conv1.conv": temporal_conv("conv1"),
    "norm2": "norm2",
    "conv2.conv": temporal_conv("conv2"),
}

# Starts of tensor names that a VAE of three levels lacks.
_FOURTH_LEVEL = ("encoder.down_blocks.3.", "encoder.down.3.")

DIFFUSERS_ATTENTION: Table = {
    "norm": "group_norm",
    "to_q": "to_q",
    "to_k": "to_k",
    "to_v": "to_v",
    "to_out": "to_out.0",
}
OLD_DIFFUSERS_ATTENTION: Table = {
    "norm": "group_norm",
    "to_q": "query",
    "to_k": "key",
    "to_v": "value",
    "to_out": "proj_attn",
}
ORIGINAL_ATTENTION: Table = {
    "norm": "norm",
    "to_q": conv1x1("q"),
    "to_k": conv1x1("k"),
    "to_v": conv1x1("v"),
    "to_out": conv1x1("proj_out"),
}


def svd(config: VAEConfig) -> dict[str, Source]:
    """Returns the table of `AutoencoderKLTemporalDecoder` of diffusers."""
    return _diffusers(config, DIFFUSERS_ATTENTION)


def sd21(config: VAEConfig) -> dict[str, Source]:
    """Returns the table of `AutoencoderKL` of diffusers."""
    return _diffusers(config, DIFFUSERS_ATTENTION)


def sd21_old(config: VAEConfig) -> dict[str, Source]:
    """Returns the table of `AutoencoderKL` of older versions of diffusers."""
    return _diffusers(config, OLD_DIFFUSERS_ATTENTION)


def sd21_original(config: VAEConfig) -> dict[str, Source]:
    """Returns the table of the autoencoder of an original Stable Diffusion checkpoint."""
    deepest = len(config.channels) - 1
    table = _ends("norm_out")
    table |= under("", "", {"post_quant_conv": conv1x1("post_quant_conv")})
    for part, kind in (("encoder", "down"), ("decoder", "up")):
        middle = f"{part}.mid_block."
        table |= resnet(f"{middle}resnet1.", f"{part}.mid.block_1.")
        table |= under(f"{middle}attention.", f"{part}.mid.attn_1.", ORIGINAL_ATTENTION)
        table |= resnet(f"{middle}resnet2.", f"{part}.mid.block_2.")
        for level, block, changes in _blocks(config, part):
            # The original numbers the levels of the decoder in reverse order of execution.
            theirs = f"{part}.{kind}.{level if kind == 'down' else deepest - level}."
            ours = f"{part}.{kind}_blocks.{level}."
            shortcut = "nin_shortcut" if changes else None
            table |= resnet(f"{ours}resnets.{block}.", f"{theirs}block.{block}.", shortcut)
            if block == 0 and level < deepest:
                table |= under(f"{ours}resample.", f"{theirs}{kind}sample.", {"conv": "conv"})
    return table


def _diffusers(config: VAEConfig, attention: Table) -> dict[str, Source]:
    table = _ends("conv_norm_out")
    if config.temporal_decoder:
        last = {"time_conv_out.conv": temporal_conv("time_conv_out")}
        table |= under("decoder.", "decoder.", last)
    else:
        table |= under("", "", {"post_quant_conv": conv1x1("post_quant_conv")})
    for part, kind in (("encoder", "down"), ("decoder", "up")):
        block = _decoder_resnet(config) if kind == "up" else resnet
        middle = f"{part}.mid_block."
        table |= block(f"{middle}resnet1.", f"{middle}resnets.0.")
        table |= under(f"{middle}attention.", f"{middle}attentions.0.", attention)
        table |= block(f"{middle}resnet2.", f"{middle}resnets.1.")
        for level, index, changes in _blocks(config, part):
            name = f"{part}.{kind}_blocks.{level}."
            shortcut = "conv_shortcut" if changes else None
            table |= block(f"{name}resnets.{index}.", f"{name}resnets.{index}.", shortcut)
            if index == 0 and level < len(config.channels) - 1:
                table |= under(f"{name}resample.", f"{name}{kind}samplers.0.", {"conv": "conv"})
    return table | (_condition() if config.condition_channels else {})


def _condition() -> dict[str, Source]:
    """Returns the table of the branch that sees the low-resolution frames."""
    table: dict[str, Source] = {}
    for block, shortcut in ((0, "conv_shortcut"), (1, None)):
        start = "decoder.condition_in."
        table |= conv_3d_resnet(f"{start}resnets.{block}.", f"{start}{block}.", shortcut)
    fuse = "decoder.condition_fuse."
    return table | feature_transform(fuse, fuse)


def feature_transform(ours: str, theirs: str) -> dict[str, Source]:
    """Returns the table of the layer that modulates features by those of the condition."""
    table = resnet(f"{ours}resnets.0.", f"{theirs}shared.0.", "conv_shortcut")
    table |= resnet(f"{ours}resnets.1.", f"{theirs}shared.1.")
    ends: Table = {"scale": "scale", "shift": "shift"}
    return table | under(ours, theirs, ends)


def _decoder_resnet(config: VAEConfig) -> Callable[..., dict[str, Source]]:
    if config.temporal_decoder:
        return _temporal_resnet
    return conv_3d_resnet if config.condition_channels else resnet


def resnet(ours: str, theirs: str, shortcut: str | None = None) -> dict[str, Source]:
    """Returns the table of a spatial residual block.

    Args:
      ours: prefix of our layers.
      theirs: prefix of the layers of the state dict.
      shortcut: name of the 1x1 convolution of the shortcut, where channels change.
    """
    table = under(ours, theirs, _RESNET)
    if shortcut:
        table |= under(ours, theirs, {"shortcut": conv1x1(shortcut)})
    return table


def conv_3d_resnet(ours: str, theirs: str, shortcut: str | None = None) -> dict[str, Source]:
    """Returns the table of a residual block with a 3-D convolution; arguments like `resnet`."""
    return resnet(ours, theirs, shortcut) | under(ours, theirs, _CONV_3D)


def _temporal_resnet(ours: str, theirs: str, shortcut: str | None = None) -> dict[str, Source]:
    table = resnet(ours, f"{theirs}spatial_res_block.", shortcut)
    table |= under(f"{ours}temporal.", f"{theirs}temporal_res_block.", _TEMPORAL)
    return table | under(ours, theirs, {"mix_factor": "time_mixer.mix_factor"})


def _ends(norm_out: str) -> dict[str, Source]:
    """Returns the table of the first and last layers; only `norm_out` depends on the layout."""
    table = under("", "", {"quant_conv": conv1x1("quant_conv")})
    for part in ("encoder.", "decoder."):
        ends: Table = {"conv_in": "conv_in", "norm_out": norm_out, "conv_out": "conv_out"}
        table |= under(part, part, ends)
    return table


def _blocks(config: VAEConfig, part: str) -> list[tuple[int, int, bool]]:
    """Lists level, index in the level, and whether channels change, of every residual block."""
    down = part == "encoder"
    channels = config.channels if down else config.channels[::-1]
    before = (channels[0], *channels)
    return [
        (level, block, block == 0 and before[level] != channels[level])
        for level in range(len(channels))
        for block in range(config.blocks_per_level + (0 if down else 1))
    ]


def _detect(config: VAEConfig, names: Collection[str]) -> tuple[VAEConfig, str]:
    temporal = any(name.startswith("decoder.time_conv_out") for name in names)
    if config == VAEConfig(dtype=config.dtype, encoder_dtype=config.encoder_dtype):
        config = _published(config, names)
    config = dataclasses.replace(config, temporal_decoder=temporal)
    if temporal:
        return config, "svd"
    if any(name.startswith("encoder.down.") for name in names):
        return config, "original"
    old = any(name.startswith("encoder.mid_block.attentions.0.query") for name in names)
    return config, "diffusers_old" if old else "diffusers"


def _published(config: VAEConfig, names: Collection[str]) -> VAEConfig:
    """Returns the published sizes of a checkpoint, which differ in levels and in the decoder."""
    if any(name.startswith(_FOURTH_LEVEL) for name in names):
        return config
    conditioned = any(name.startswith("decoder.condition_in.") for name in names)
    sizes = VAEConfig.x4_video if conditioned else VAEConfig.x4_image
    return sizes(dtype=config.dtype, encoder_dtype=config.encoder_dtype)


LAYOUTS = {
    "vae": Layouts(
        tables={
            "svd": svd,
            "diffusers": sd21,
            "diffusers_old": sd21_old,
            "original": sd21_original,
        },
        detect=_detect,
        prefix="first_stage_model.",
    )
}
PUBLISHED = {
    "svd_vae": HubFile(
        "stabilityai/stable-video-diffusion-img2vid",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ),
    "sd21_vae": HubFile(
        "stabilityai/stable-diffusion-2-1-base", "vae/diffusion_pytorch_model.safetensors"
    ),
}
