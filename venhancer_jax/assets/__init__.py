"""What ships with the package: the clip that a first run enhances, and the model that does it."""

from importlib.resources import files
from pathlib import Path


def demo_clip() -> Path:
    """Six frames of birds in flight, 128x72 at 15 a second (CC0; ASSETS.md)."""
    return Path(str(files("venhancer_jax.assets").joinpath("birds_128x72.mp4")))


def demo_weights() -> Path:
    """The weight folders `venhancer` and `vae` of the small model (docs/model_card.md)."""
    return Path(str(files("venhancer_jax.assets"))) / "weights"
