"""What a gradient keeps of the blocks it goes back through, by name."""

from collections.abc import Callable
from typing import Any, Literal

import jax

Remat = Literal["none", "dots", "blocks"]

_POLICIES: dict[str, Any] = {
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "blocks": jax.checkpoint_policies.nothing_saveable,
}
REMATS = ("none", *_POLICIES)


def rematerialised(block: Callable[..., Any], remat: str) -> Callable[..., Any]:
    """The block as it is in the forward pass; less memory and more work in the gradient.

    Args:
      block: a function of arrays, its parameters closed over.
      remat: `none` keeps every intermediate; `dots` keeps the results of dense layers and computes
        the rest again; `blocks` keeps only what goes into each block, at a third more work.

    Raises:
      ValueError: unknown name.
    """
    if remat == "none":
        return block
    if remat not in _POLICIES:
        raise ValueError(f"remat {remat!r}: expected one of {', '.join(REMATS)}")
    return jax.checkpoint(lambda *inputs: block(*inputs), policy=_POLICIES[remat])
