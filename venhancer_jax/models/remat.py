"""Rematerialisation of blocks: which intermediate results a gradient keeps."""

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
    """Wraps a block so that its gradient recomputes intermediate results.

    Args:
      block: function of arrays, its parameters closed over.
      remat: policy: `none` keeps every intermediate result; `dots` keeps those of dense layers and
        recomputes the rest; `blocks` keeps the inputs of each block only, at a third more work.

    Returns:
      Function equal to `block`.

    Raises:
      ValueError: unknown name.
    """
    if remat == "none":
        return block
    if remat not in _POLICIES:
        raise ValueError(f"remat {remat!r}: expected one of {', '.join(REMATS)}")
    return jax.checkpoint(lambda *inputs: block(*inputs), policy=_POLICIES[remat])
