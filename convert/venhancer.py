"""Rules of the VEnhancer checkpoints (v1 and v2 have one layout)."""

from venhancer_jax.convert.hub import HubFile
from venhancer_jax.convert.release import Part, Release
from venhancer_jax.convert.rules import (
    Layouts,
    Source,
    Table,
    conv1d,
    conv1x1,
    temporal_conv,
    under,
)
from venhancer_jax.convert.transformers import SPATIAL
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig

RESNET: Table = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "embedding": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    # "temopral" is how the checkpoints spell it.
    "temporal.stage1.norm": "temopral_conv.conv1.0",
    "temporal.stage1.conv": temporal_conv("temopral_conv.conv1.2"),
    "temporal.stage2.norm": "temopral_conv.conv2.0",
    "temporal.stage2.conv": temporal_conv("temopral_conv.conv2.3"),
    "temporal.stage3.norm": "temopral_conv.conv3.0",
    "temporal.stage3.conv": temporal_conv("temopral_conv.conv3.3"),
    "temporal.stage4.norm": "temopral_conv.conv4.0",
    "temporal.stage4.conv": temporal_conv("temopral_conv.conv4.3"),
}
SHORTCUT: Table = {"shortcut": conv1x1("skip_connection")}

TEMPORAL: Table = {**SPATIAL, "proj_in": conv1d("proj_in"), "proj_out": conv1d("proj_out")}

MLP: Table = {"linear1": "0", "linear2": "2"}


def encoder(config: UNet3DConfig) -> dict[str, Source]:
    """Returns the table of time embedding, input blocks and middle block."""
    table = under("time_embedding.", "time_embed.", MLP)
    table |= under("input_blocks.0.", "input_blocks.0.", {"conv": "0"})
    table |= under("input_blocks.0.temporal.", "input_blocks.0.1.", TEMPORAL)
    channels = [config.width, *config.channels]
    index = 1
    for level in range(len(config.channels)):
        for i in range(config.blocks_per_level):
            widens = i == 0 and channels[level] != channels[level + 1]
            table |= _block(config, "input_blocks", index, level, shortcut=widens)
            index += 1
        if level < len(config.channels) - 1:
            table |= under(f"input_blocks.{index}.", f"input_blocks.{index}.", {"conv": "op"})
            index += 1
    table |= under("middle_block.resnet1.", "middle_block.0.", RESNET)
    table |= under("middle_block.spatial.", "middle_block.1.", SPATIAL)
    table |= under("middle_block.temporal.", "middle_block.2.", TEMPORAL)
    table |= under("middle_block.resnet2.", "middle_block.3.", RESNET)
    return table


def unet(config: UNet3DConfig) -> dict[str, Source]:
    """Returns the table of the UNet, the prior of text-to-video."""
    table = under("encoder.", "", encoder(config))
    index = 0
    for level in reversed(range(len(config.channels))):
        for i in range(config.blocks_per_level + 1):
            table |= _block(config, "output_blocks", index, level, shortcut=True)
            if level > 0 and i == config.blocks_per_level:
                at = 3 if level in config.attention_levels else 1
                name = f"output_blocks.{index}"
                table |= under(f"{name}.upsample.", f"{name}.{at}.", {"conv": "conv"})
            index += 1
    return table | under("head.", "out.", {"norm": "0", "conv": "2"})


def controlnet(config: UNet3DConfig) -> dict[str, Source]:
    """Returns the table of the ControlNet."""
    blocks = len(config.channels) * (config.blocks_per_level + 1)
    table = under("encoder.", "", encoder(config))
    table |= under("", "", {"hint_conv": "input_hint_block"})
    table |= under("", "", {"noise_embedding": "hint_time_zero_linear"})
    table |= under("scale_embedding.", "scale_cond.", MLP)
    for i in range(blocks):
        table |= under("", "", {f"zero_convs.{i}": conv1x1(f"zero_convs.{i}.0")})
    return table | under("", "", {f"zero_convs.{blocks}": conv1x1("middle_block_out.0")})


def venhancer(config: UNet3DConfig) -> dict[str, Source]:
    """Returns the table of a checkpoint: UNet and ControlNet."""
    return under("unet.", "", unet(config)) | under(
        "controlnet.", "VideoControlNet.", controlnet(config)
    )


def _block(
    config: UNet3DConfig, kind: str, index: int, level: int, *, shortcut: bool
) -> dict[str, Source]:
    name = f"{kind}.{index}"
    table = under(f"{name}.resnet.", f"{name}.0.", {**RESNET, **(SHORTCUT if shortcut else {})})
    if level in config.attention_levels:
        table |= under(f"{name}.spatial.", f"{name}.1.", SPATIAL)
        table |= under(f"{name}.temporal.", f"{name}.2.", TEMPORAL)
    return table


LAYOUTS = {
    "venhancer": Layouts(
        tables={"venhancer": venhancer}, detect=lambda config, names: (config, "venhancer")
    )
}
RELEASE = Release(
    parts=(
        Part(
            network="venhancer",
            paths=("venhancer_v2.pt", "venhancer"),
            layout="venhancer",
            config=UNet3DConfig.venhancer(),
        ),
    )
)
PUBLISHED = {
    "venhancer_v1": HubFile("jwhejwhe/VEnhancer", "venhancer_paper.pt"),
    "venhancer_v2": HubFile("jwhejwhe/VEnhancer", "venhancer_v2.pt"),
}
