"""Rules of the CLIP text towers: OpenCLIP's layout and that of transformers."""

import dataclasses
import functools
import json
from collections.abc import Collection
from pathlib import Path

import numpy as np

from venhancer_jax.convert.constants import Constant
from venhancer_jax.convert.hub import HubFile
from venhancer_jax.convert.rules import Layouts, Source, Table, linear, under
from venhancer_jax.errors import InputError
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.text.tokenizer import pad_number

# Starts of tensor names outside the text tower: the image tower, and a constant of open_clip.
IGNORED = ("attn_mask", "visual.", "vision_model.", "visual_projection.")

OPEN_CLIP_BLOCK: Table = {
    "norm1": "ln_1",
    # Named in_proj_weight and in_proj_bias; queries, keys and values are stacked there too.
    "attn.in_proj": Source(("attn.in_proj",), joint="_"),
    "attn.out_proj": "attn.out_proj",
    "norm2": "ln_2",
    "mlp.linear1": "mlp.c_fc",
    "mlp.linear2": "mlp.c_proj",
}
TRANSFORMERS_BLOCK: Table = {
    "norm1": "layer_norm1",
    "attn.in_proj": linear("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.out_proj": "self_attn.out_proj",
    "norm2": "layer_norm2",
    "mlp.linear1": "mlp.fc1",
    "mlp.linear2": "mlp.fc2",
}


def open_clip(config: ClipTextConfig) -> dict[str, Source]:
    """Returns the table of open_clip."""
    table = under("", "", {"token_embedding": "token_embedding", "final_norm": "ln_final"})
    table |= under("", "", {"positional_embedding": "positional_embedding"})
    for i in range(config.stored_blocks):
        table |= under(f"blocks.{i}.", f"transformer.resblocks.{i}.", OPEN_CLIP_BLOCK)
    if config.projection:
        # A bare matrix `[in, out]`, as ours.
        table |= under("", "", {"text_projection.kernel": "text_projection"})
    return table | _logit_scale(config)


def transformers_clip(config: ClipTextConfig, *, prefix: str = "text_model.") -> dict[str, Source]:
    """Returns the table of transformers.

    Args:
      config: sizes of the tower, and the parts that are stored.
      prefix: start of all tensor names but those of projection and temperature; empty in the state
        dict of a `CLIPTextModel` of transformers 5.
    """
    indices = np.arange(config.length)[None]
    positions = Constant("embeddings.position_ids", indices, optional=True)
    table = under("", prefix, {"token_embedding": "embeddings.token_embedding"})
    table |= under("", prefix, {"position_ids": positions})
    table |= under("", prefix, {"positional_embedding": "embeddings.position_embedding.weight"})
    table |= under("", prefix, {"final_norm": "final_layer_norm"})
    for i in range(config.stored_blocks):
        table |= under(f"blocks.{i}.", f"{prefix}encoder.layers.{i}.", TRANSFORMERS_BLOCK)
    if config.projection:
        table |= under("", "", {"text_projection": "text_projection"})
    return table | _logit_scale(config)


def detect(config: ClipTextConfig, names: Collection[str]) -> tuple[ClipTextConfig, str]:
    """Finds which layout a checkpoint has and which parts of the tower it stores.

    Args:
      config: sizes of the tower.
      names: names of all tensors of the checkpoint.

    Returns:
      The config with the parts that are stored, and the name of the layout.

    Raises:
      InputError: the names fit no layout.
    """
    last = config.layers - 1
    for layout, prefix in (("transformers", "text_model."), ("transformers_bare", "")):
        if f"{prefix}final_layer_norm.weight" in names:
            stored = dataclasses.replace(
                config,
                last_block=f"{prefix}encoder.layers.{last}.layer_norm1.weight" in names,
                projection="text_projection.weight" in names,
                logit_scale="logit_scale" in names,
            )
            return stored, layout
    if "ln_final.weight" in names:
        stored = dataclasses.replace(
            config,
            last_block=f"transformer.resblocks.{last}.ln_1.weight" in names,
            projection="text_projection" in names,
            logit_scale="logit_scale" in names,
        )
        return stored, "open_clip"
    raise InputError(
        "no text tower of CLIP: expected ln_final.weight (open_clip) or"
        f" text_model.final_layer_norm.weight (transformers) among {len(names)} tensors,"
        f" found {sorted(names)[:5]}"
    )


def read_pad_token(config: ClipTextConfig, path: Path) -> ClipTextConfig:
    """Returns a config with the padding token of the tokenizer beside a text tower of diffusers.

    Args:
      config: sizes of the tower.
      path: checkpoint file, such as `text_encoder/model.safetensors`, whose tokenizer is described
        in `tokenizer/special_tokens_map.json`.

    Raises:
      InputError: a tokenizer file without a padding token of CLIP.
    """
    file = path.absolute().parent.parent / "tokenizer" / "special_tokens_map.json"
    if not file.is_file():
        return config
    try:
        token = json.loads(file.read_text())["pad_token"]
        token = token["content"] if isinstance(token, dict) else token
    except (ValueError, LookupError, TypeError, UnicodeDecodeError):
        raise InputError(f"{file}: expected JSON with a pad_token, such as !") from None
    try:
        pad_number(token)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    return dataclasses.replace(config, pad_token=token)


def _logit_scale(config: ClipTextConfig) -> dict[str, Source]:
    return under("", "", {"logit_scale": "logit_scale"}) if config.logit_scale else {}


LAYOUTS = {
    "text": Layouts(
        tables={
            "open_clip": open_clip,
            "transformers": transformers_clip,
            "transformers_bare": functools.partial(transformers_clip, prefix=""),
        },
        detect=detect,
        prefix="cond_stage_model.model.",
        ignored=IGNORED,
        beside=read_pad_token,
    )
}
PUBLISHED = {
    "openclip": HubFile("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "open_clip_pytorch_model.bin"),
}
