"""Enhancement configs: their keys are the settings of a system and of the command line."""

from collections.abc import Sequence
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.options import DeviceOptions, FileOptions, ProcessOptions
from venhancer_jax.pipelines.registry import DEFAULT_SYSTEM, SYSTEMS, find_system
from venhancer_jax.settings import add_to_config, from_config, old_names
from venhancer_jax.sharding.mesh import inference_mesh


def enhancement_config(system: str = DEFAULT_SYSTEM) -> ConfigDict:
    """Returns all keys of a system's config with their defaults, for a config file to change.

    Raises:
      InputError: no system of that name.
    """
    config = ConfigDict({"system": system})
    for settings in settings_of(system):
        add_to_config(config, settings)
    return config


def settings_of(system: str) -> tuple[type, ...]:
    """Returns the settings dataclasses of an enhancement config.

    Raises:
      InputError: no system of that name.
    """
    spec = find_system(system)
    return FileOptions, spec.options, spec.weights, DeviceOptions, ProcessOptions


def system_of(config: ConfigDict) -> str:
    """Returns the name of the system that a config is for."""
    return config.get("system", DEFAULT_SYSTEM)


def checked_config(config: ConfigDict) -> ConfigDict:
    """Returns a config with exactly the keys of its system; old names get their present ones.

    Raises:
      InputError: a key is missing, unknown, or of another system.
    """
    system = system_of(config)
    allowed = enhancement_config(system)
    renamed = old_names(*settings_of(system))
    # A config file that sets an old name also has the default of the present one.
    old = {renamed[key]: value for key, value in config.items() if key in renamed}
    present = {key: value for key, value in config.items() if key not in renamed}
    checked = ConfigDict(present | old)
    checked.system = system
    if missing := sorted(set(allowed) - set(checked)):
        raise InputError(f"the config lacks {', '.join(missing)}: start from enhancement_config()")
    if unknown := sorted(set(checked) - set(allowed)):
        raise InputError(f"config.{unknown[0]}: {unknown_key(unknown[0], system)}; see --help")
    return checked.lock()


def unknown_key(key: str, system: str) -> str:
    """Explains why a system has no such key, for an error message."""
    for other in SYSTEMS:
        if other != system and key in enhancement_config(other):
            return f"an option of system {other!r}, which system {system!r} does not have"
    return "no such setting"


def options_of(config: ConfigDict, prompt: str | None = None) -> Any:
    """Builds the checked options of an enhancement.

    Args:
      config: config of `enhancement_config`.
      prompt: prompt of the clip, by default that of the config.

    Raises:
      InputError: a value is out of range.
    """
    spec = find_system(system_of(config))
    changes: dict[str, Any] = {} if prompt is None else {"prompt": prompt}
    return from_config(spec.options, config, **changes)


def weights_of(config: ConfigDict) -> Any:
    """Builds the checked weight options of a config.

    Raises:
      InputError: a value is wrong.
    """
    return from_config(find_system(system_of(config)).weights, config)


def check_values(config: ConfigDict) -> None:
    """Checks all values of a config.

    Raises:
      InputError: a value is out of range.
    """
    for settings in settings_of(system_of(config)):
        from_config(settings, config)


def mesh_of(config: ConfigDict, devices: Sequence[Any] | None = None) -> Mesh:
    """Builds the mesh of a config.

    Args:
      config: config of `enhancement_config`.
      devices: devices to use, by default all.

    Raises:
      InputError: the sizes do not use all devices.
    """
    videos = 1 if config.guidance_scale == 1 else 2
    return inference_mesh(devices, dict(config.mesh), videos=videos, window=config.window)
