"""Command lines of the form `--config=NAME --config.key=value`, or `--config=FILE:VARIANT`."""

import dataclasses
import re
import runpy
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from venhancer_jax.errors import InputError
from venhancer_jax.settings import HelpRow, help_rows, old_names, setting_of

CONFIGS = Path(__file__).parent / "configs"
_OVERRIDE = re.compile(r"(--?config\.)(\w+)(.*)", re.DOTALL)
_KEY_WIDTH = 34


def parse_config(
    usage: str | None,
    arguments: Sequence[str],
    default: str,
    others: Sequence[str] = (),
    *,
    settings: Callable[[ConfigDict], Iterable[type]] = lambda config: (),
    explain: Callable[[str, ConfigDict], str] = lambda key, config: "",
) -> tuple[ConfigDict | None, dict[str, str]]:
    """Reads a config file and applies the settings of the command line.

    Args:
      usage: text that `--help` prints before the settings.
      arguments: arguments of the command line, without the program's name.
      default: name of the config to use without `--config`.
      others: names of further flags, which are texts and empty by default.
      settings: returns the dataclasses of settings that explain the keys of a config.
      explain: returns why a config has no such key, for the error message.

    Returns:
      Locked config, or None if help was requested; and the values of `others`.

    Raises:
      InputError: unknown or wrong settings, or not a config file.
    """
    files, overrides = flags.FlagValues(), flags.FlagValues()
    path = flags.DEFINE_string("config", default, "", flag_values=files)
    values = {name: flags.DEFINE_string(name, "", "", flag_values=files) for name in others}
    wants_help = flags.DEFINE_bool("help", False, "", short_name="h", flag_values=files)
    classes: tuple[type, ...] = ()
    try:
        rest = files(["", *arguments], known_only=True)
        config = _load(str(path.value))
        classes = tuple(settings(config))
        rest = _with_present_names(rest, old_names(*classes))
        for argument in rest:
            _check_key(argument, config, explain)
        config_flags.DEFINE_config_dict("config", config, flag_values=overrides, sys_argv=rest)
        rest = overrides(rest)
    except (AttributeError, KeyError, TypeError) as error:
        reason = error.args[0]
        while isinstance(reason, Exception):  # they come wrapped
            reason = reason.args[0]
        raise InputError(f"no such setting: {reason}. --help lists all of them") from None
    except flags.Error as error:
        raise InputError(_explain_value(str(error), classes)) from None
    if len(rest) > 1:
        raise InputError(f"unexpected argument {rest[1]!r}: settings are --config.key=value")
    if wants_help.value:
        print(usage, f"Settings of --config={path.value}:", sep="\n")
        print(help_text(help_rows(config, *classes)))
        return None, {}
    return config, {name: str(flag.value) for name, flag in values.items()}


def find_config(arguments: Sequence[str], default: str) -> ConfigDict:
    """Returns the config that a command line names, without its overrides.

    Raises:
      InputError: not a config file.
    """
    files = flags.FlagValues()
    path = flags.DEFINE_string("config", default, "", flag_values=files)
    files(["", *arguments], known_only=True)
    return _load(str(path.value))


def help_text(rows: Iterable[HelpRow]) -> str:
    """Formats settings for a terminal, a line each under the heading of their group."""
    lines, group = [], None
    for row in rows:
        if row.group != group:
            group = row.group
            lines += ["", f"{group}:"]
        key = f"  --config.{row.key}="
        choices = f" One of: {', '.join(row.choices)}." if row.choices else ""
        lines.append(
            f"{key:{_KEY_WIDTH}} {row.about}.{choices} ({row.kind}; {_shown(row.default)})"
        )
    return "\n".join(lines)


def help_table(rows: Iterable[HelpRow]) -> str:
    """Formats settings as a Markdown table."""
    lines = ["| key | type | default | what it does |", "| --- | --- | --- | --- |"]
    group = None
    for row in rows:
        if row.group != group:
            group = row.group
            lines.append(f"| **{group}** | | | |")
        choices = (
            f". One of {', '.join(f'`{word}`' for word in row.choices)}" if row.choices else ""
        )
        lines.append(f"| `{row.key}` | {row.kind} | {_shown(row.default)} | {row.about}{choices} |")
    return "\n".join(lines)


def _check_key(
    argument: str, config: ConfigDict, explain: Callable[[str, ConfigDict], str]
) -> None:
    """Raises InputError for an override of a key that a config lacks."""
    if not (match := _OVERRIDE.match(argument)):
        return
    key, rest = match.group(2, 3)
    entry = rest.partition("=")[0].removeprefix(".")
    if key in config and (
        not entry or (isinstance(config[key], ConfigDict) and entry in config[key])
    ):
        return
    reason, near = "", ""
    if key not in config:
        reason = explain(key, config)
        near = "".join(f"Did you mean {name!r}? " for name in get_close_matches(key, config, 1))
    name = f"{key}.{entry}" if entry else key
    raise InputError(
        f"config.{name}: {reason or 'no such setting'}. {near}--help lists all settings"
    )


def _explain_value(message: str, classes: Iterable[type]) -> str:
    """Replaces a flag parser's message about a value by what the setting expects."""
    if not (match := re.match(r"flag --config\.(\w+)=(.*?): ", message, re.DOTALL)):
        return message
    name, value = match.groups()
    for field in (field for each in classes for field in dataclasses.fields(each)):
        if field.name == name:
            try:
                setting_of(field).check(value)
            except ValueError as error:
                return f"config.{name} {value!r}: {error}"
    return message


def _shown(value: object) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return str(value)


def _with_present_names(arguments: Sequence[str], renamed: dict[str, str]) -> list[str]:
    """Replaces names that settings had in earlier versions, and says so."""
    replaced = []
    for argument in arguments:
        match = _OVERRIDE.match(argument)
        if match and match.group(2) in renamed:
            old, new = match.group(2), renamed[match.group(2)]
            print(f"note: config.{old} is now config.{new}", file=sys.stderr)
            argument = f"{match.group(1)}{new}{match.group(3)}"
        replaced.append(argument)
    return replaced


def _load(path: str) -> ConfigDict:
    """Returns the config of a file or of a name, of the variant after a colon if there is one."""
    file, *variant = [path] if _find(path).exists() else path.rsplit(":", 1)
    try:
        config = runpy.run_path(str(_find(file))).get("get_config", lambda *_: None)(*variant)
    except FileNotFoundError:
        names = ", ".join(sorted(p.stem for p in CONFIGS.glob("[!_]*.py")))
        raise InputError(f"config {path}: no such file, nor one of {names}") from None
    except (Exception, SystemExit) as error:  # a config file can raise anything
        raise InputError(f"config {path}: {type(error).__name__}: {error}") from None
    if not isinstance(config, ConfigDict):
        raise InputError(
            f"config {path}: not a config file: expected a function get_config() -> ConfigDict"
        )
    return config.lock()


def _find(path: str) -> Path:
    """Returns a file, or the config of the package that a name means."""
    named = CONFIGS / f"{path}.py"
    return named if "/" not in path and named.exists() else Path(path)
