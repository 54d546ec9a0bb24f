"""Values of a page as a command line, and its config."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from venhancer_jax.cli.sample import parse_sample_config
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.config import settings_of, system_of
from venhancer_jax.settings import HelpRow, help_rows


def rows_of(config: ConfigDict) -> list[HelpRow]:
    """Lists the settings of an enhancement config with their values, as `--help` does."""
    return help_rows(config, *settings_of(system_of(config)))


def text_of(value: Any) -> str:
    """Returns a value as the command line takes it; an empty text for None."""
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def arguments_of(rows: Sequence[HelpRow], values: Mapping[str, Any]) -> list[str]:
    """Returns the command line arguments of all settings that a person changed.

    Args:
      rows: settings with their values at the start.
      values: values of controls by key.
    """
    arguments = []
    for row in rows:
        text = text_of(values.get(row.key, row.default))
        if text == text_of(row.default) or (not text and row.kind in ("whole", "number")):
            continue
        arguments.append(f"--config.{row.key}={text}")
    return arguments


def config_of(arguments: Sequence[str]) -> ConfigDict:
    """Reads the config of a command line, of which `input` and `output` can be changed.

    Raises:
      InputError: unknown or wrong settings.
    """
    config, _ = parse_sample_config(arguments)
    if config is None:
        raise InputError("expected settings, not --help")
    return config


def command(arguments: Sequence[str]) -> str:
    """Returns the command that repeats a job, for a shell."""
    return shlex.join(["venhancer-jax", "sample", *arguments])
