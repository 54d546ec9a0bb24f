"""Rules of the UNet of Upscale-A-Video and of the image UNets of Stable Diffusion.

The published UNet has the layers of Stable Diffusion's x4 upscaler under their names in diffusers,
and more. A video UNet can start from the image UNet, whose layers are named alike.
"""

import dataclasses
import re
from collections.abc import Collection

from venhancer_jax.convert.constants import Constant
from venhancer_jax.convert.hub import HubFile
from venhancer_jax.convert.release import Part, Release
from venhancer_jax.convert.rules import Layouts, Source, Table, conv1x1, temporal_conv, under
from venhancer_jax.convert.transformers import ATTENTION, SPATIAL
from venhancer_jax.errors import InputError
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.layers.positions import rotary_frequencies
from venhancer_jax.models.raft.raft import RaftConfig
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.models.upscale_a_video.config import UpscaleUNetConfig
from venhancer_jax.pipelines.upscale_a_video import released

MLP: Table = {"linear1": "linear_1", "linear2": "linear_2"}
EMBEDDING: Table = {"embedding": "time_emb_proj"}
RESNET: Table = {"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2"}
SHORTCUT: Table = {"shortcut": conv1x1("conv_shortcut")}
TEMPORAL_RESNET: Table = {
    "norm1": "norm1",
    "conv1": temporal_conv("conv1"),
    "norm2": "norm2",
    "conv2": temporal_conv("conv2"),
}
TEMPORAL_ATTENTION: Table = {
    **ATTENTION,
    "relative_bias": "time_rel_pos_bias.relative_attention_bias",
    "frequencies": Constant("rotary_emb.freqs", rotary_frequencies()),
}
TEMPORAL_MODULE: Table = {
    **under("temporal.", "resblocks_3d_temporal.", {**TEMPORAL_RESNET, **EMBEDDING}),
    **under("spatial.", "resblocks_3d_spatial.", {**RESNET, **EMBEDDING}),
    "proj_out": conv1x1("shift_conv"),
}
_BLOCK = "transformer_blocks.0."
TRANSFORMER: Table = under("spatial.", "", SPATIAL)
VIDEO_TRANSFORMER: Table = {
    **TRANSFORMER,
    **under("resnet.", "resblock_temporal.", TEMPORAL_RESNET),
    **under("spatial.block.", _BLOCK, {"norm_temporal": "norm_temporal"}),
    **under("spatial.block.attn_temporal.", f"{_BLOCK}attn_temporal.", TEMPORAL_ATTENTION),
}


def unet(config: UpscaleUNetConfig) -> dict[str, Source | Constant]:
    """Returns the table of a UNet; without temporal layers it is that of `UNet2DConditionModel`."""
    table = under("time_embedding.", "time_embedding.", MLP)
    if config.labels:
        table["label_embedding"] = Source(("class_embedding",))
    table |= under("", "", {"conv_in": "conv_in"})
    table |= under("head.", "", {"norm": "conv_norm_out", "conv": "conv_out"})
    if config.temporal:
        table["frequencies"] = Constant("temporal_rotary_emb.freqs", rotary_frequencies())
    last, before = len(config.channels) - 1, config.channels[0]
    for level, channels in enumerate(config.channels):
        name = f"down.{level}."
        for i in range(config.blocks_per_level):
            attends = level in config.attention_levels
            table |= _block(config, name, f"down_blocks.{level}.", i, attends, before != channels)
            before = channels
        if level < last:
            table |= under(
                f"{name}downsample.", f"down_blocks.{level}.downsamplers.0.", {"conv": "conv"}
            )
        table |= _module(config, name, f"down_temp_blocks.{level}.")
    resnet = {**RESNET, **EMBEDDING}
    table |= under("middle.block.resnet.", "mid_block.resnets.0.", resnet)
    table |= under("middle.block.transformer.", "mid_block.attentions.0.", transformer(config))
    table |= under("middle.resnet.", "mid_block.resnets.1.", resnet)
    table |= _module(config, "middle.", "mid_temp_block.")
    for up, level in enumerate(reversed(range(last + 1))):
        name = f"up.{up}."
        for i in range(config.blocks_per_level + 1):
            attends = level in config.attention_levels
            table |= _block(config, name, f"up_blocks.{up}.", i, attends, shortcut=True)
        if level > 0:
            table |= under(f"{name}upsample.", f"up_blocks.{up}.upsamplers.0.", {"conv": "conv"})
        table |= _module(config, name, f"up_temp_blocks.{up}.")
    return table


def transformer(config: UpscaleUNetConfig) -> Table:
    """Returns the table of a transformer of the UNet."""
    return VIDEO_TRANSFORMER if config.temporal else TRANSFORMER


def _block(
    config: UpscaleUNetConfig, ours: str, theirs: str, index: int, attends: bool, shortcut: bool
) -> dict[str, Source | Constant]:
    resnet = {**RESNET, **EMBEDDING, **(SHORTCUT if shortcut else {})}
    table = under(f"{ours}blocks.{index}.resnet.", f"{theirs}resnets.{index}.", resnet)
    if attends:
        name = f"{ours}blocks.{index}.transformer."
        table |= under(name, f"{theirs}attentions.{index}.", transformer(config))
    return table


def _module(config: UpscaleUNetConfig, ours: str, theirs: str) -> dict[str, Source | Constant]:
    return under(f"{ours}temporal.", theirs, TEMPORAL_MODULE) if config.temporal else {}


def detect(config: UpscaleUNetConfig, names: Collection[str]) -> tuple[UpscaleUNetConfig, str]:
    """Finds which UNet a checkpoint stores.

    Args:
      config: requested sizes.
      names: names of all tensors of the checkpoint.

    Returns:
      The config with the parts that are stored, and the name of the layout. With the published
      sizes, the UNet of Stable Diffusion 2.1 is recognized by its transformers.

    Raises:
      InputError: the names are not those of a UNet of diffusers.
    """
    if "conv_in.weight" not in names or "time_embedding.linear_1.weight" not in names:
        raise InputError(
            "no UNet of diffusers: expected conv_in.weight and time_embedding.linear_1.weight among"
            f" {len(names)} tensors, found {sorted(names)[:5]}"
        )
    temporal = any(".resblock_temporal." in name for name in names)
    found = (re.match(r"down_blocks\.(\d+)\.attentions\.", name) for name in names)
    levels = tuple(sorted({int(match[1]) for match in found if match}))
    sd21 = UpscaleUNetConfig.sd21()
    if config == UpscaleUNetConfig() and not temporal and levels == sd21.attention_levels:
        config = sd21
    labels = config.labels if "class_embedding.weight" in names else 0
    config = dataclasses.replace(config, temporal=temporal, labels=labels)
    return config, "video" if temporal else "image"


LAYOUTS = {"upscale_a_video": Layouts(tables={"video": unet, "image": unet}, detect=detect)}
PUBLISHED = {
    "x4_upscaler_unet": HubFile(
        "stabilityai/stable-diffusion-x4-upscaler", "unet/diffusion_pytorch_model.safetensors"
    ),
    "sd21_unet": HubFile(
        "stabilityai/stable-diffusion-2-1-base", "unet/diffusion_pytorch_model.safetensors"
    ),
}
# The published folder; its UNet is the network that the system is named after.
RELEASE = Release(
    parts=(
        Part(
            network="upscale_a_video",
            paths=released.UNET,
            layout="video",
            config=UpscaleUNetConfig.upscale_a_video(),
        ),
        Part(
            network="vae",
            paths=released.IMAGE_VAE,
            layout="diffusers_old",
            config=VAEConfig.x4_image(),
        ),
        Part(
            network="vae",
            paths=released.VIDEO_VAE,
            layout="diffusers_old",
            config=VAEConfig.x4_video(),
            optional=True,
        ),
        Part(
            network="text",
            paths=released.TEXT,
            layout="transformers",
            config=ClipTextConfig.x4_upscaler(),
        ),
        Part(
            network="raft",
            paths=released.RAFT,
            layout="plain",
            config=RaftConfig(),
            wrapper="module.",
            optional=True,
        ),
    ),
    settings=("model_index.json", released.SCHEDULER, released.LOW_RES_SCHEDULER),
)
