"""Rules of the Upscale-A-Video checkpoints."""

from venhancer_jax.convert.hub import HubFile
from venhancer_jax.convert.rules import Layouts

LAYOUTS: dict[str, Layouts] = {}
PUBLISHED: dict[str, HubFile] = {}
