"""Rules of transformer blocks, whose layers several checkpoints name as diffusers does."""

from venhancer_jax.convert.rules import Table, under

ATTENTION: Table = {"to_q": "to_q", "to_k": "to_k", "to_v": "to_v", "to_out": "to_out.0"}
FEED_FORWARD: Table = {"proj_in": "net.0.proj", "proj_out": "net.2"}
TRANSFORMER_BLOCK: Table = {
    "norm1": "norm1",
    "norm2": "norm2",
    "norm3": "norm3",
    **under("attn1.", "attn1.", ATTENTION),
    **under("attn2.", "attn2.", ATTENTION),
    **under("ff.", "ff.", FEED_FORWARD),
}
SPATIAL: Table = {
    "norm": "norm",
    "proj_in": "proj_in",
    "proj_out": "proj_out",
    **under("block.", "transformer_blocks.0.", TRANSFORMER_BLOCK),
}
