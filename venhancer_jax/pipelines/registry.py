"""The systems by name: a new one is one line here."""

import functools
import importlib
from collections.abc import Iterable
from typing import Any

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.system import SystemSpec

# Name in configs -> module with the `SPEC` of the system.
SYSTEMS = {
    "venhancer": "venhancer_jax.pipelines.venhancer.spec",
    "upscale_a_video": "venhancer_jax.pipelines.upscale_a_video.spec",
    "genve": "venhancer_jax.pipelines.genve.spec",
}
# System of configs that name none, as those of earlier versions.
DEFAULT_SYSTEM = next(iter(SYSTEMS))


def find_system(name: str) -> SystemSpec:
    """Returns the spec of a system.

    Raises:
      InputError: no system of that name.
    """
    if name not in SYSTEMS:
        raise InputError(f"system {name!r}: expected one of {', '.join(SYSTEMS)}")
    return _spec(SYSTEMS[name])


def all_systems() -> Iterable[SystemSpec]:
    """Yields the specs of all systems."""
    return map(find_system, SYSTEMS)


def merged(attribute: str, member: str) -> dict[Any, Any]:
    """Merges one dictionary of every system.

    Args:
      attribute: field of `SystemSpec` that names a module: `training`, `conversion` or `parity`.
      member: name of a dictionary in those modules.
    """
    found: dict[Any, Any] = {}
    for spec in all_systems():
        if module := getattr(spec, attribute):
            found |= getattr(importlib.import_module(module), member)
    return found


@functools.cache
def _spec(module: str) -> SystemSpec:
    return importlib.import_module(module).SPEC
