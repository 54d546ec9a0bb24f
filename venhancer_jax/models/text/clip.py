"""The text tower of CLIP (Radford et al. 2021, section 2.4), up to its penultimate features."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jax.typing import DTypeLike

from venhancer_jax.models.layers.attention import dense_attention
from venhancer_jax.models.layers.linear import Linear


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipTextConfig:
    """Sizes of the text tower, and which of its unused parts are stored.

    The features come from the last block but one, so the last block and the projection to the
    space of pictures never run. A network that stores them converts back to the whole checkpoint;
    one without them runs with the parameters of one that stores them.

    Attributes:
      vocabulary: number of tokens.
      length: tokens of a text.
      width: channels of the features.
      heads: heads of every attention.
      mlp_width: channels inside the feed-forward layers; None for four times the width.
      pad_token: token after the end of a text, one of the vocabulary; empty for number 0.
      layers: blocks of the tower as it was trained.
      last_block: whether the block that never runs is stored.
      projection: whether the projection to the space of pictures is stored.
      logit_scale: whether the temperature of the training loss is stored.
      dtype: type of activations and weights; statistics are float32.
    """

    vocabulary: int = 49408
    length: int = 77
    width: int = 1024
    heads: int = 16
    mlp_width: int | None = None
    pad_token: str = ""
    layers: int = 24
    last_block: bool = True
    projection: bool = True
    logit_scale: bool = True
    dtype: DTypeLike = jnp.float32

    @classmethod
    def vit_h_14(cls, **changes: Any) -> "ClipTextConfig":
        """Returns the sizes of OpenCLIP ViT-H/14, laion2b_s32b_b79k: 354,032,641 parameters."""
        return cls(**changes)

    @classmethod
    def x4_upscaler(cls, **changes: Any) -> "ClipTextConfig":
        """Returns the sizes of the Stable Diffusion x4 upscaler's tower: 340,387,840 parameters.

        It is that of Stable Diffusion 2: the 23 blocks of OpenCLIP ViT-H/14 that run.
        """
        return dataclasses.replace(cls.vit_h_14().only_used(), **changes)

    @classmethod
    def tiny(cls, **changes: Any) -> "ClipTextConfig":
        """Returns sizes for tests and laptops."""
        sizes: dict[str, Any] = {"width": 64, "heads": 4, "layers": 3}
        return cls(**(sizes | changes))

    @property
    def stored_blocks(self) -> int:
        """Returns the number of blocks that have parameters."""
        return self.layers if self.last_block else self.layers - 1

    def only_used(self) -> "ClipTextConfig":
        """Returns the sizes of the tower without the parts that never run."""
        return dataclasses.replace(self, last_block=False, projection=False, logit_scale=False)


class ClipAttention(nnx.Module):
    """Causal multi-head self-attention."""

    def __init__(self, config: ClipTextConfig, rngs: nnx.Rngs):
        width = config.width
        self.in_proj = Linear(width, 3 * width, dtype=config.dtype, rngs=rngs)
        self.out_proj = Linear(width, width, dtype=config.dtype, rngs=rngs)
        self.heads = config.heads

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms tokens `[B, L, D]`."""
        # Thirds of the projection: queries, keys, values.
        q, k, v = rearrange(
            self.in_proj(x), "b l (three heads d) -> three (b heads) l d", three=3, heads=self.heads
        )
        out = dense_attention(q, k, v, is_causal=True)
        return self.out_proj(rearrange(out, "(b heads) l d -> b l (heads d)", heads=self.heads))


class ClipMLP(nnx.Module):
    """Linear to the inner width, exact GELU, linear."""

    def __init__(self, config: ClipTextConfig, rngs: nnx.Rngs):
        width, inner = config.width, config.mlp_width or 4 * config.width
        self.linear1 = Linear(width, inner, dtype=config.dtype, rngs=rngs)
        self.linear2 = Linear(inner, width, dtype=config.dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.linear2(nnx.gelu(self.linear1(x), approximate=False))


class ClipBlock(nnx.Module):
    """Causal self-attention and a feed-forward layer, each behind its normalisation."""

    def __init__(self, config: ClipTextConfig, rngs: nnx.Rngs):
        self.norm1 = layer_norm(config, config.dtype, rngs)
        self.attn = ClipAttention(config, rngs)
        self.norm2 = layer_norm(config, config.dtype, rngs)
        self.mlp = ClipMLP(config, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transforms tokens `[B, L, D]`."""
        x = self.attn(self.norm1(x)) + x
        return self.mlp(self.norm2(x)) + x


class ClipTextEncoder(nnx.Module):
    """Tokens to the features that guide the video networks."""

    def __init__(self, config: ClipTextConfig, rngs: nnx.Rngs):
        width = config.width
        normal = nnx.initializers.normal
        self.token_embedding = nnx.Embed(
            config.vocabulary, width, embedding_init=normal(0.02), dtype=config.dtype, rngs=rngs
        )
        positions = normal(0.01)(rngs.params(), (config.length, width), jnp.float32)
        self.positional_embedding = nnx.Param(positions)
        self.blocks = nnx.List([ClipBlock(config, rngs) for _ in range(config.stored_blocks)])
        self.final_norm = layer_norm(config, jnp.float32, rngs)
        self.text_projection = (
            Linear(width, width, use_bias=False, dtype=jnp.float32, rngs=rngs)
            if config.projection
            else None
        )
        self.logit_scale = nnx.Param(jnp.log(1 / 0.07)) if config.logit_scale else None
        self.running_blocks = config.layers - 1
        self.dtype = config.dtype

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Computes the penultimate features.

        Args:
          tokens: integers `[B, L]` from `venhancer_jax.text.tokenizer.tokenize`.

        Returns:
          Features `[B, L, D]` float32 of the last block but one, normalised like those of the
          last, neither pooled nor projected.
        """
        x = self.token_embedding(tokens) + self.positional_embedding[...].astype(self.dtype)
        for block in list(self.blocks)[: self.running_blocks]:
            x = block(x)
        return self.final_norm(x)


def layer_norm(config: ClipTextConfig, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Creates a normalisation of the tower with results of type `dtype`."""
    return nnx.LayerNorm(
        config.width, epsilon=1e-5, use_fast_variance=False, dtype=dtype, rngs=rngs
    )
