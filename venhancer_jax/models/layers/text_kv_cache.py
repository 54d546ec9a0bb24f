"""The text as the networks take it: features, or the keys and values of every block.

Cross-attention turns the same features into the same keys and values in every denoising step.
`compute_text_kv` does so once; the networks take the result in place of the features.
"""

import jax
from flax import nnx

from venhancer_jax.models.layers.transformer import KeysValues, SpatialTransformer

# Keys and values by the name of the transformer: "unet.encoder.input_blocks.1.spatial".
TextKVCache = dict[str, KeysValues]
Text = jax.Array | TextKVCache


def compute_text_kv(module: nnx.Module, text: jax.Array) -> TextKVCache:
    """Keys and values of the text for every transformer of a module.

    Args:
      module: UNet and ControlNet, or any part of them.
      text: features `[B, L, D]`.

    Returns:
      By parameter name below `module`, a pair of `[B, L, C]` with the channels of the transformer.
    """
    return {
        ".".join(map(str, path)): part.block.attn2.keys_values(text)
        for path, part in nnx.iter_modules(module)
        if isinstance(part, SpatialTransformer)
    }


def text_for(text: Text, name: str) -> Text:
    """The text for the part of a module that has this name: features serve all parts alike."""
    if not isinstance(text, dict):
        return text
    start = name + "."
    return {key.removeprefix(start): pair for key, pair in text.items() if key.startswith(start)}


def context_for(text: Text, name: str) -> jax.Array | KeysValues:
    """The text for the transformer of this name."""
    return text[name] if isinstance(text, dict) else text
