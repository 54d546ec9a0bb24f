"""Command lines of the form `--config=FILE --config.key=value`, or `--config=FILE:VARIANT`."""

import runpy
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from venhancer_jax.errors import InputError

_ROOT = Path(__file__).parents[1]


def parse_config(
    usage: str | None, arguments: Sequence[str], default: str, others: Sequence[str] = ()
) -> tuple[ConfigDict | None, dict[str, str]]:
    """The config with the settings of the command line.

    Args:
      usage: printed for `--help`, with all settings.
      arguments: of the command line, without the program's name.
      default: config file to use without `--config`, relative to the checkout.
      others: names of further flags, strings that are empty by default.

    Returns:
      The locked config, or None if help was asked for; and the values of `others`.

    Raises:
      InputError: unknown or wrong settings, or a config file that is none.
    """
    files, settings = flags.FlagValues(), flags.FlagValues()
    path = flags.DEFINE_string("config", str(_ROOT / default), "", flag_values=files)
    values = {name: flags.DEFINE_string(name, "", "", flag_values=files) for name in others}
    wants_help = flags.DEFINE_bool("help", False, "", short_name="h", flag_values=files)
    try:
        rest = files(["", *arguments], known_only=True)
        config = _load(str(path.value))
        config_flags.DEFINE_config_dict("config", config, flag_values=settings, sys_argv=rest)
        rest = settings(rest)
    except (AttributeError, KeyError, TypeError) as error:
        reason = error.args[0]
        while isinstance(reason, Exception):  # they come wrapped
            reason = reason.args[0]
        raise InputError(f"no such setting: {reason}. --help lists all of them") from None
    except flags.Error as error:
        raise InputError(f"{error}") from None
    if len(rest) > 1:
        raise InputError(f"unexpected argument {rest[1]!r}: settings are --config.key=value")
    if wants_help.value:
        lines = (f"    --config.{key}={value}" for key, value in config.items())
        print(usage, "Settings of this config:\n", *lines, sep="\n")
        return None, {}
    return config, {name: str(flag.value) for name, flag in values.items()}


def _load(path: str) -> ConfigDict:
    """What `get_config` of the file returns, of the variant after a colon if there is one."""
    file, *variant = [path] if Path(path).exists() else path.rsplit(":", 1)
    try:
        config = runpy.run_path(file).get("get_config", lambda *_: None)(*variant)
    except Exception as error:  # a config file can raise anything
        raise InputError(f"config {path}: {type(error).__name__}: {error}") from None
    if not isinstance(config, ConfigDict):
        raise InputError(f"config {path}: expected a function get_config() -> ConfigDict in it")
    return config.lock()
