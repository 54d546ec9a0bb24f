"""Sizes of GenVE's network."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from venhancer_jax.models.venhancer.unet3d import UNet3DConfig

Fusion = Literal["none", "cross", "local"]
FUSIONS: tuple[Fusion, ...] = ("none", "cross", "local")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenVEConfig(UNet3DConfig):
    """Sizes of UNet and ControlNet, and of the attention to the reference.

    Attributes:
      fusion: how the reference is attended to: `local` prefers near patches, `cross` has no
        preference, `none` has no attention, as VEnhancer.
      patch: rows and columns of latents in a patch.
      neighbours: rows and columns of patches in a window in which training permutes the
        reference, and the distance in patches at which the local bias starts at -1.
      radius: distance in patches beyond which no patch is attended to; None for no limit.
    """

    fusion: Fusion = "local"
    patch: int = 2
    neighbours: int = 4
    radius: float | None = None

    @classmethod
    def from_unet(cls, unet: UNet3DConfig, **changes) -> "GenVEConfig":
        """Returns the sizes of a UNet with those of the attention to the reference."""
        shared = {field.name: getattr(unet, field.name) for field in dataclasses.fields(unet)}
        return cls(**shared | changes)

    @property
    def unet(self) -> UNet3DConfig:
        """Returns the sizes of UNet and ControlNet alone."""
        names = [field.name for field in dataclasses.fields(UNet3DConfig)]
        return UNet3DConfig(**{name: getattr(self, name) for name in names})

    def smallest_inputs(self) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns noisy latents `[1, 1, h, w, C]` of the least size, and conditions for them."""
        x, conditions = super().smallest_inputs()
        if self.fusion == "none":
            return x, conditions
        rows, columns = (side // self.patch for side in x.shape[2:4])
        return x, conditions | {"texture": jnp.zeros((1, 1, rows, columns, self.width))}
