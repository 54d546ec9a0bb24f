"""Generative video enhancement in JAX.

    import venhancer_jax

    system = venhancer_jax.load_venhancer(denoiser, vae, text)
    for frame in venhancer_jax.enhance(frames, fps=24, system=system, up_scale=2):
        ...
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from venhancer_jax.pipelines.enhance import enhance
    from venhancer_jax.pipelines.load import load_venhancer, untrained_venhancer

__version__ = "0.1.0"
__all__ = ["enhance", "load_venhancer", "untrained_venhancer"]


def __getattr__(name: str) -> Any:
    """Imports the API when it is first used: a part of the package does not cost all of it."""
    if name == "enhance":
        from venhancer_jax.pipelines import enhance

        return enhance.enhance
    if name in __all__:
        from venhancer_jax.pipelines import load

        return getattr(load, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
