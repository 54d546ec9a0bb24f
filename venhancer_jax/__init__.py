"""Generative video enhancement in JAX.

`load_venhancer` makes a system from weight folders; `enhance` takes frames and yields frames.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from venhancer_jax.pipelines.enhance import enhance
    from venhancer_jax.pipelines.venhancer.load import demo_venhancer, load_venhancer

__version__ = "0.1.0"
__all__ = ["demo_venhancer", "enhance", "load_venhancer"]


def __getattr__(name: str) -> Any:
    """Imports the API when it is first used: a part of the package does not cost all of it."""
    if name == "enhance":
        from venhancer_jax.pipelines import enhance

        return enhance.enhance
    if name in __all__:
        from venhancer_jax.pipelines.venhancer import load

        return getattr(load, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
