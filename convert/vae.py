"""Rules of the VAE checkpoints.

Three layouts are in use: the one of diffusers, its older form with other names in the attention,
and the one of the original Stable Diffusion checkpoints.
"""

from convert.rules import Source, Table, conv1x1, temporal_conv, under
from venhancer_jax.models.vae import VAEConfig

_RESNET: Table = {"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2"}
_TEMPORAL: Table = {
    "norm1": "norm1",
    "conv1.conv": temporal_conv("conv1"),
    "norm2": "norm2",
    "conv2.conv": temporal_conv("conv2"),
}

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
    """`AutoencoderKLTemporalDecoder` of diffusers."""
    return _diffusers(config, DIFFUSERS_ATTENTION)


def sd21(config: VAEConfig) -> dict[str, Source]:
    """`AutoencoderKL` of diffusers."""
    return _diffusers(config, DIFFUSERS_ATTENTION)


def sd21_old(config: VAEConfig) -> dict[str, Source]:
    """`AutoencoderKL` as diffusers before 0.17 stored it."""
    return _diffusers(config, OLD_DIFFUSERS_ATTENTION)


def sd21_original(config: VAEConfig) -> dict[str, Source]:
    """The first stage of an original checkpoint, without the prefix `first_stage_model.`."""
    last = len(config.channels) - 1
    table = _ends("norm_out")
    table |= under("", "", {"post_quant_conv": conv1x1("post_quant_conv")})
    for part in ("encoder", "decoder"):
        middle = f"{part}.mid_block."
        table |= under(f"{middle}resnet1.", f"{part}.mid.block_1.", _RESNET)
        table |= under(f"{middle}attention.", f"{part}.mid.attn_1.", ORIGINAL_ATTENTION)
        table |= under(f"{middle}resnet2.", f"{part}.mid.block_2.", _RESNET)
    for ours, block, widens in _blocks(config, "encoder"):
        theirs = f"encoder.down.{ours}.block.{block}."
        shortcut: Table = {"shortcut": conv1x1("nin_shortcut")} if widens else {}
        table |= under(f"encoder.down_blocks.{ours}.resnets.{block}.", theirs, _RESNET | shortcut)
    for ours, block, narrows in _blocks(config, "decoder"):
        # The levels of the decoder are numbered from the pixels, against the order they run in.
        theirs = f"decoder.up.{last - ours}.block.{block}."
        shortcut = {"shortcut": conv1x1("nin_shortcut")} if narrows else {}
        table |= under(f"decoder.up_blocks.{ours}.resnets.{block}.", theirs, _RESNET | shortcut)
    for i in range(last):
        down, up = f"encoder.down_blocks.{i}.resample.", f"decoder.up_blocks.{i}.resample."
        table |= under(down, f"encoder.down.{i}.downsample.", {"conv": "conv"})
        table |= under(up, f"decoder.up.{last - i}.upsample.", {"conv": "conv"})
    return table


def _diffusers(config: VAEConfig, attention: Table) -> dict[str, Source]:
    table = _ends("conv_norm_out")
    if config.temporal_decoder:
        table |= under("", "", {"decoder.time_conv_out.conv": temporal_conv("decoder.time_conv_out")})
    else:
        table |= under("", "", {"post_quant_conv": conv1x1("post_quant_conv")})
    sides = {"encoder": ("down_blocks", "downsamplers"), "decoder": ("up_blocks", "upsamplers")}
    for part, (levels, resampler) in sides.items():
        temporal = config.temporal_decoder and part == "decoder"
        middle = f"{part}.mid_block."
        for i in range(2):
            name = f"{middle}resnet{i + 1}."
            table |= _diffusers_resnet(name, f"{middle}resnets.{i}.", temporal=temporal)
        table |= under(f"{middle}attention.", f"{middle}attentions.0.", attention)
        for level, block, changes in _blocks(config, part):
            name = f"{part}.{levels}.{level}.resnets.{block}."
            table |= _diffusers_resnet(name, name, shortcut=changes, temporal=temporal)
        for level in range(len(config.channels) - 1):
            name = f"{part}.{levels}.{level}."
            table |= under(f"{name}resample.", f"{name}{resampler}.0.", {"conv": "conv"})
    return table


def _diffusers_resnet(
    ours: str, theirs: str, *, shortcut: bool = False, temporal: bool
) -> dict[str, Source]:
    spatial = f"{theirs}spatial_res_block." if temporal else theirs
    table = under(ours, spatial, _RESNET)
    if shortcut:
        table |= under(ours, spatial, {"shortcut": conv1x1("conv_shortcut")})
    if temporal:
        table |= under(f"{ours}temporal.", f"{theirs}temporal_res_block.", _TEMPORAL)
        table |= under(ours, theirs, {"mix_factor": "time_mixer.mix_factor"})
    return table


def _ends(norm_out: str) -> dict[str, Source]:
    """First and last layers, all but `norm_out` with one name in all layouts."""
    table = under("", "", {"quant_conv": conv1x1("quant_conv")})
    for part in ("encoder.", "decoder."):
        ends: Table = {"conv_in": "conv_in", "norm_out": norm_out, "conv_out": "conv_out"}
        table |= under(part, part, ends)
    return table


def _blocks(config: VAEConfig, part: str) -> list[tuple[int, int, bool]]:
    """Level, index in it, and whether the channels change there, of every residual block."""
    down = part == "encoder"
    channels = config.channels if down else config.channels[::-1]
    before = (channels[0], *channels)
    return [
        (level, block, block == 0 and before[level] != channels[level])
        for level in range(len(channels))
        for block in range(config.blocks_per_level + (0 if down else 1))
    ]
