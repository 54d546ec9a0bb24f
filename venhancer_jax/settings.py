"""Settings: dataclass fields that check their own values and explain themselves.

A dataclass whose fields come from `whole`, `number`, `choice`, `text`, `flag`, `whole_pair`,
`parsed` and `table` gets three things from one declaration: checked values (`normalise`), the keys
of a config (`add_to_config`, `from_config`), and the help text of the command line (`help_rows`).
"""

import dataclasses
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeGuard, TypeVar

from ml_collections import ConfigDict, config_dict

from venhancer_jax.errors import InputError

_KEY = "setting"
S = TypeVar("S")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """Declaration of one setting.

    Attributes:
      kind: type of the value as shown by `--help`: `whole`, `number`, `text`, `flag`, ...
      group: heading under which `--help` lists the setting.
      about: one line that says what the setting does.
      check: converts a value to the stored one; raises ValueError with what was expected.
      choices: allowed values, empty if there is no fixed list.
      range: least and largest number; None for values that are no numbers.
      opens: whether a text names something to open: a file, an address, a module.
      placeholder: type of the config key where the default is None.
      old_name: name of the setting in earlier versions, still accepted.
      entries: explanation of each entry of a table, by key.
    """

    kind: str
    group: str
    about: str
    check: Callable[[Any], Any]
    choices: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    opens: bool = False
    placeholder: type = str
    old_name: str = ""
    entries: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HelpRow:
    """One line of help: group, key, type, default value, choices and explanation.

    `range` and `opens` are those of the setting.
    """

    group: str
    key: str
    kind: str
    default: Any
    choices: tuple[str, ...]
    about: str
    range: tuple[float, float] | None = None
    opens: bool = False


def whole(default: int | None, *, low: int, high: int, group: str, about: str) -> Any:
    """Declares a whole number from `low` to `high`; None is allowed if it is the default."""

    def check(value: Any) -> int | None:
        if value is None and default is None:
            return None
        # 7.0 is meant as 7.
        if _is_number(value) and float(value).is_integer() and low <= value <= high:
            return int(value)
        raise ValueError(f"expected a whole number from {low} to {high}")

    setting = Setting(
        kind="whole", group=group, about=about, check=check, range=(low, high), placeholder=int
    )
    return _field(default, setting)


def number(
    default: float | None,
    *,
    low: float,
    high: float,
    group: str,
    about: str,
) -> Any:
    """Declares a number from `low` to `high`; None is allowed if it is the default."""

    def check(value: Any) -> float | None:
        if value is None and default is None:
            return None
        if _is_number(value) and low <= value <= high:
            return float(value)
        raise ValueError(f"expected a number from {low:g} to {high:g}")

    setting = Setting(
        kind="number", group=group, about=about, check=check, range=(low, high), placeholder=float
    )
    return _field(default, setting)


def choice(
    default: str,
    choices: Sequence[str],
    *,
    group: str,
    about: str,
    old_name: str = "",
) -> Any:
    """Declares one of a few words."""
    allowed = tuple(choices)

    def check(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)}")
        return value

    return _field(
        default,
        Setting(
            kind="word", group=group, about=about, check=check, choices=allowed, old_name=old_name
        ),
    )


def text(default: str | None, *, group: str, about: str, opens: bool = False) -> Any:
    """Declares a text; None is allowed if it is the default."""

    def check(value: Any) -> str | None:
        if isinstance(value, str) or (value is None and default is None):
            return value
        raise ValueError("expected a text")

    return _field(default, Setting(kind="text", group=group, about=about, check=check, opens=opens))


def flag(default: bool, *, group: str, about: str) -> Any:
    """Declares True or False."""

    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError("expected True or False")
        return value

    return _field(default, Setting(kind="flag", group=group, about=about, check=check))


def whole_pair(
    default: tuple[int, int] | None,
    *,
    low: int,
    high: int,
    names: tuple[str, str],
    group: str,
    about: str,
) -> Any:
    """Declares two whole numbers from `low` to `high`; None is allowed if it is the default.

    Args:
      default: value without a setting.
      low: least value of both.
      high: largest value of both.
      names: what the two numbers are, for messages: `("height", "width")`.
      group: heading of the help text.
      about: one line of explanation.
    """

    def check(value: Any) -> tuple[int, int] | None:
        if value is None and default is None:
            return None
        pair = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
        if len(pair) != 2 or not all(
            _is_number(n) and float(n).is_integer() and low <= n <= high for n in pair
        ):
            raise ValueError(
                f"expected two whole numbers from {low} to {high}, {names[0]} and {names[1]}"
            )
        return int(pair[0]), int(pair[1])

    setting = Setting(
        kind=f"{names[0]},{names[1]}",
        group=group,
        about=about,
        check=check,
        range=(low, high),
        placeholder=tuple,
    )
    return _field(default, setting)


def parsed(
    default: Any,
    parse: Callable[[Any], Any],
    *,
    kind: str,
    group: str,
    about: str,
    opens: bool = False,
) -> Any:
    """Declares a setting with a parser of its own, which raises ValueError or InputError."""

    def check(value: Any) -> Any:
        return None if value in (None, "") and default is None else parse(value)

    return _field(default, Setting(kind=kind, group=group, about=about, check=check, opens=opens))


def table(default: Mapping[str, Any], *, group: str, about: Mapping[str, str]) -> Any:
    """Declares a table of values, each with a key `name.entry` of its own.

    Args:
      default: value of each entry, whose type other values are converted to.
      group: heading of the help text.
      about: one line of explanation for each entry.
    """

    def check(value: Any) -> dict[str, Any]:
        entries = dict(value)
        if unknown := sorted(set(entries) - set(default)):
            raise ValueError(f"expected entries {', '.join(default)}; unknown {unknown[0]!r}")
        return {key: _like(entries.get(key, default[key]), default[key], key) for key in default}

    setting = Setting(kind="table", group=group, about="", check=check, entries=dict(about))
    return dataclasses.field(default_factory=lambda: dict(default), metadata={_KEY: setting})


def normalise(instance: Any) -> None:
    """Checks all settings of a frozen dataclass instance and stores what their checks return.

    Raises:
      InputError: a value is wrong; the message names the setting, the value and what is expected.
    """
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        try:
            checked = setting_of(field).check(value)
        except InputError:
            raise
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(f"{field.name} {value!r}: {error}") from None
        object.__setattr__(instance, field.name, checked)


def setting_of(field: dataclasses.Field) -> Setting:
    """Returns the declaration of a dataclass field."""
    return field.metadata[_KEY]


def add_to_config(config: ConfigDict, settings: type) -> None:
    """Adds one config key for each setting of a dataclass, with its default."""
    for field in dataclasses.fields(settings):
        if field.default_factory is not dataclasses.MISSING:
            config[field.name] = ConfigDict(field.default_factory())
        elif field.default is None:
            config[field.name] = config_dict.placeholder(setting_of(field).placeholder)
        else:
            config[field.name] = field.default


def from_config(settings: type[S], config: ConfigDict, **values: Any) -> S:
    """Builds a settings dataclass from the config keys of its fields.

    Args:
      settings: dataclass of settings.
      config: has a key for each setting.
      **values: settings that replace those of the config.

    Raises:
      InputError: a value is wrong.
    """
    fields = dataclasses.fields(settings)  # pyright: ignore[reportArgumentType]
    return settings(**({field.name: config[field.name] for field in fields} | values))


def old_names(*settings: type) -> dict[str, str]:
    """Maps names that settings had in earlier versions to their present names."""
    fields = (field for each in settings for field in dataclasses.fields(each))
    return {setting_of(f).old_name: f.name for f in fields if setting_of(f).old_name}


def help_rows(values: Mapping[str, Any], *settings: type) -> list[HelpRow]:
    """Describes the settings of several dataclasses, those of one group together.

    Args:
      values: value of each setting, shown as its default.
      *settings: dataclasses of settings.
    """
    rows = []
    for each in settings:
        for field in dataclasses.fields(each):
            setting, value = setting_of(field), values[field.name]
            keys = {field.name: (setting.kind, value, setting.about)}
            if setting.entries:
                keys = {
                    f"{field.name}.{key}": (_kind(value[key]), value[key], line)
                    for key, line in setting.entries.items()
                }
            rows += [
                HelpRow(
                    group=setting.group,
                    key=key,
                    kind=kind,
                    default=default,
                    choices=setting.choices,
                    about=line,
                    range=setting.range,
                    opens=setting.opens,
                )
                for key, (kind, default, line) in keys.items()
            ]
    groups = list(dict.fromkeys(row.group for row in rows))
    return sorted(rows, key=lambda row: groups.index(row.group))


def _field(default: Any, setting: Setting) -> Any:
    return dataclasses.field(default=default, metadata={_KEY: setting})


def _is_number(value: Any) -> TypeGuard[float]:
    """Tells whether a value is a finite number; True and False are not."""
    return (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and math.isfinite(float(value))
    )


def _kind(value: Any) -> str:
    kinds = {bool: "flag", int: "whole", float: "number", str: "text"}
    return kinds.get(type(value), "list")


def _like(value: Any, default: Any, key: str) -> Any:
    """Converts a value to the type of a default."""
    kind = _kind(default)
    if kind == "list":
        return tuple(value)
    if kind in ("flag", "text"):
        if isinstance(value, type(default)):
            return value
    elif _is_number(value) and (kind == "number" or float(value).is_integer()):
        return type(default)(value)
    raise ValueError(f"{key}: expected a {kind}")
