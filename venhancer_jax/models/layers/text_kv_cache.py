"""Keys and values of the text for every cross-attention, computed once for all steps.

Cross-attention projects the text features to keys and values that do not change from one denoising
step to the next. The networks take a `TextKVCache` in place of the features.
"""

import jax
from flax import nnx

from venhancer_jax.models.layers.multi_head import KeysValues
from venhancer_jax.models.layers.transformer import SpatialTransformer

# Keys and values by the name of the transformer: "unet.encoder.input_blocks.1.spatial"; those of
# the first attention, where it attends to the text too, by that name and `.first`.
TextKVCache = dict[str, KeysValues]
Text = jax.Array | TextKVCache


def compute_text_kv(module: nnx.Module, text: jax.Array) -> TextKVCache:
    """Projects the text to keys and values for every spatial transformer of a module.

    Args:
      module: UNet and ControlNet, or a part of them.
      text: text features `[B, L, D]`.

    Returns:
      Keys and values `[B, L, C]`, C the channels of the transformer, by its name in `module`.
    """
    cache = {}
    for path, part in nnx.iter_modules(module):
        if isinstance(part, SpatialTransformer):
            name = ".".join(map(str, path))
            cache[name] = part.block.attn2.keys_values(text)
            if part.block.only_cross:
                cache[f"{name}.first"] = part.block.attn1.keys_values(text)
    return cache


def text_for(text: Text, name: str) -> Text:
    """Selects the keys and values of a part of a module by its name; returns features unchanged."""
    if not isinstance(text, dict):
        return text
    start = name + "."
    return {key.removeprefix(start): pair for key, pair in text.items() if key.startswith(start)}


def context_for(text: Text, name: str) -> jax.Array | KeysValues:
    """Returns the keys and values of a transformer by its name, or the features."""
    return text[name] if isinstance(text, dict) else text
