"""Settings as controls of a page."""

from typing import Any

import gradio as gr

from venhancer_jax.app.arguments import text_of
from venhancer_jax.settings import HelpRow

# What most people change: shown first, where a system has it.
FIRST = (
    "up_scale", "fps_scale", "prompt", "colour", "fidelity", "grain", "codec", "quality",
)  # fmt: skip
# Ranges that a person can survey on a slider.
_WIDEST_SLIDER = 16


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


def _has_slider(row: HelpRow) -> bool:
    return (
        row.kind == "number"
        and row.default is not None
        and row.range is not None
        and row.range[1] - row.range[0] <= _WIDEST_SLIDER
    )
