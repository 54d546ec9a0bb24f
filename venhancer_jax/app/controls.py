"""Settings as controls of a page, and their values as a command line."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from ml_collections import ConfigDict

from venhancer_jax.cli.sample import parse_sample_config
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.config import settings_of, system_of
from venhancer_jax.settings import HelpRow, help_rows

# What most people change: shown first, where a system has it.
FIRST = (
    "up_scale", "fps_scale", "prompt", "colour", "fidelity", "grain", "codec", "quality",
)  # fmt: skip
# Ranges that a person can survey on a slider.
_WIDEST_SLIDER = 16


def rows_of(config: ConfigDict) -> list[HelpRow]:
    """Lists the settings of an enhancement config with their values, as `--help` does."""
    return help_rows(config, *settings_of(system_of(config)))


def label(row: HelpRow) -> str:
    """Returns the name of a setting in words."""
    return row.key.replace("_", " ").replace(".", " ").capitalize()


def info(row: HelpRow) -> str:
    """Returns the explanation of a setting, with its range."""
    text = row.about[:1].upper() + row.about[1:]
    if row.range is not None and not _has_slider(row):
        text += f" ({row.range[0]:,g} to {row.range[1]:,.15g})"
    return text


def control(row: HelpRow) -> Any:
    """Builds the component of a setting."""
    shared: dict[str, Any] = {
        "label": label(row),
        "info": info(row),
        "elem_id": f"setting-{row.key.replace('.', '-')}",
        "interactive": True,
    }
    if row.kind == "flag":
        return gr.Checkbox(row.default, **shared)
    if row.choices:
        return gr.Dropdown(list(row.choices), value=row.default, filterable=False, **shared)
    if _has_slider(row):
        assert row.range is not None
        low, high = row.range
        step = low if 0 < low < 1 else 0.01
        return gr.Slider(low, high, value=row.default, step=step, **shared)
    # An empty gr.Number becomes 0 when its group is opened.
    if row.kind in ("whole", "number") and row.default is not None:
        return gr.Number(row.default, **shared)
    lines = 2 if row.key.endswith("prompt") else 1
    return gr.Textbox(
        text_of(row.default), lines=lines, max_lines=2 * lines - 1, placeholder="none", **shared
    )


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


def _has_slider(row: HelpRow) -> bool:
    return (
        row.kind == "number"
        and row.default is not None
        and row.range is not None
        and row.range[1] - row.range[0] <= _WIDEST_SLIDER
    )
