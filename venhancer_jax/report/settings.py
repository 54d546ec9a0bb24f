"""Settings of an enhancement as rows of a table, and the command that repeats it."""

import dataclasses
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from venhancer_jax.command_line import CONFIGS, find_config
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.config import (
    checked_config,
    enhancement_config,
    settings_of,
    system_of,
)
from venhancer_jax.settings import help_rows

_COMMAND = "venhancer-jax sample"
# What a page says elsewhere, or what makes no difference to the result.
_HIDDEN = {"report"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SettingRow:
    """A setting.

    Attributes:
      group: heading.
      key: name on the command line.
      value: value, for people.
      default: default of the system, for people.
      about: what the setting does.
      differs: whether the value is not the default.
    """

    group: str
    key: str
    value: str
    default: str
    about: str
    differs: bool


def setting_rows(config: ConfigDict) -> list[SettingRow]:
    """Returns all settings of a config in their groups.

    Args:
      config: config of `enhancement_config`.
    """
    system = system_of(config)
    classes = settings_of(system)
    plain = {row.key: row.default for row in help_rows(enhancement_config(system), *classes)}
    return [
        SettingRow(
            group=row.group,
            key=row.key,
            value=_shown(row.default),
            default=_shown(plain[row.key]),
            about=row.about,
            differs=_shown(row.default) != _shown(plain[row.key]),
        )
        for row in help_rows(config, *classes)
        if row.key not in _HIDDEN
    ]


def config_of_job(config: ConfigDict, source: Path, target: Path, prompt: str) -> ConfigDict:
    """Returns the config that enhances one video of another config.

    Args:
      config: config of `enhancement_config`, perhaps of a folder.
      source: input of the video.
      target: output of the video.
      prompt: prompt of the video.
    """
    alone = ConfigDict(config).unlock()
    alone.input, alone.output, alone.prompt = str(source), str(target), prompt
    alone.prompt_file, alone.name_as_prompt, alone.share = "", False, False
    return alone.lock()


def repeat_command(config: ConfigDict) -> str:
    """Returns the command that enhances with a config, quoted for a shell.

    Args:
      config: config of `enhancement_config`.

    Returns:
      The command with the fewest settings; empty for a system without a config file of its own.
    """
    bases = list(_bases(config))
    if not bases:
        return ""
    name, changes = min(bases, key=lambda each: len(each[1]))
    settings = [f"--config.{key}={value}" for key, value in changes.items()]
    return f"{_COMMAND} {shlex.join([f'--config={name}', *settings])}"


def _bases(config: ConfigDict) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields the named configs of a system, and what a config changes in each."""
    values = _flat(config)
    for path in sorted(CONFIGS.glob("[!_]*.py")):
        try:
            base = find_config([f"--config={path.stem}"], path.stem)
            if system_of(base) == system_of(config) and "input" in base:
                plain = _flat(checked_config(base))
                yield path.stem, {k: _flag(v) for k, v in values.items() if v != plain.get(k)}
        except InputError:
            continue


def _flat(config: ConfigDict) -> dict[str, Any]:
    flat = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            flat |= {f"{key}.{entry}": each for entry, each in value.items()}
        elif key not in {"system", "restart"}:
            flat[key] = value
    return flat


def _flag(value: Any) -> str:
    if value is None:
        return "none"
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _shown(value: Any) -> str:
    return _flag(value) or "none"
