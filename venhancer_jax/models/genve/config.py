"""Sizes of GenVE's network."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from venhancer_jax.errors import InputError
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig

Fusion = Literal["none", "cross", "local"]
FUSIONS: tuple[Fusion, ...] = ("none", "cross", "local")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenVEConfig(UNet3DConfig):
    """Sizes of UNet and ControlNet, and of the attention to the reference.

    Attributes:
      fusion: how the reference is attended to: `local` prefers near patches, `cross` has no
        preference, `none` has no attention, as VEnhancer.
      patch: rows and columns of latents in a patch, 1 or 2: the rows of a frame are even, and
        mostly no multiple of 4.
      neighbours: rows and columns of patches in a window in which training permutes the
        reference, and the distance in patches at which the local bias starts at -1.
      radius: distance in patches beyond which `local` attends to no patch; None for no limit.
    """

    fusion: Fusion = "local"
    patch: int = 2
    neighbours: int = 4
    radius: float | None = None

    def __post_init__(self) -> None:
        """Checks what is not a size.

        Raises:
          InputError: unknown fusion, a patch that does not divide frames, no neighbours, or a
            radius that excludes all.
        """
        if self.fusion not in FUSIONS:
            raise InputError(f"fusion {self.fusion!r}: expected one of {', '.join(FUSIONS)}")
        if self.patch not in (1, 2):
            raise InputError(f"patch {self.patch}: expected 1 or 2 latents")
        if self.neighbours < 1:
            raise InputError(f"neighbours {self.neighbours}: expected 1 patch or more")
        if self.radius is not None and self.radius < 0:
            raise InputError(f"radius {self.radius}: expected 0 patches or more, or None")

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

    @property
    def rows_modulus(self) -> tuple[int, int]:
        """Returns `(remainder, modulus)` of latent heights of whole patches and levels."""
        remainder, modulus = super().rows_modulus
        return remainder, max(modulus, self.patch)

    def smallest_inputs(self) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns noisy latents `[1, 1, h, w, C]` of the least size, and conditions for them."""
        x, conditions = super().smallest_inputs()
        if self.fusion == "none":
            return x, conditions
        rows, columns = (side // self.patch for side in x.shape[2:4])
        return x, conditions | {"texture": jnp.zeros((1, 1, rows, columns, self.width))}
