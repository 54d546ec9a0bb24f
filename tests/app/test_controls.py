"""Controls are the settings of the config, all of them and nothing else."""

import pytest

pytest.importorskip("gradio", reason="needs Gradio: pip install 'venhancer-jax[app]'")

import gradio as gr

from venhancer_jax.app.arguments import arguments_of, command, config_of, rows_of
from venhancer_jax.app.controls import control, info, label
from venhancer_jax.command_line import help_text
from venhancer_jax.errors import InputError

VENHANCER, UPSCALER = ["--config=demo"], ["--config=upscale_a_video"]


@pytest.mark.parametrize("start", [VENHANCER, UPSCALER])
def test_every_key_has_a_control_with_its_default_and_its_words(start: list[str]):
    config = config_of(start)
    rows = rows_of(config)
    keys = {key for key in config if key not in ("system", "mesh")}
    keys |= {f"mesh.{axis}" for axis in config.mesh}
    assert [row.key for row in rows] == list(dict.fromkeys(row.key for row in rows))
    assert {row.key for row in rows} == keys
    shown = help_text(rows)
    for row in rows:
        built = control(row)
        assert built.label == label(row) and row.about.lower() in built.info.lower()
        assert f"--config.{row.key}=" in shown and row.about in shown
        assert arguments_of(rows, {row.key: built.value}) == []
        if row.choices:
            assert [choice for _, choice in built.choices] == list(row.choices)
        if isinstance(built, gr.Slider):
            assert (built.minimum, built.maximum) == row.range
        elif row.range is not None:
            assert f"{row.range[1]:,.15g}" in info(row)
        if row.kind in ("whole", "number") and "." not in row.key:  # entries of a table have none
            assert row.range is not None


@pytest.mark.parametrize("start", [VENHANCER, UPSCALER])
def test_every_text_says_whether_it_opens_something(start: list[str]):
    """A new one must be looked at: paths, addresses and modules are checked by the page."""
    rows = rows_of(config_of(start))
    harmless = {"prompt", "negative_prompt", "a_prompt", "pixel_format"}
    assert {row.key for row in rows if row.kind == "text" and not row.opens} <= harmless


def test_values_of_each_kind_reach_the_config():
    rows = rows_of(config_of(VENHANCER))
    values = {
        "up_scale": 2,
        "target_size": "144, 256",
        "target_fps": "30000/1001",
        "max_frames": 7.0,
        "allow_damaged": True,
        "codec": "png",
        "prompt": "a fox\nin the 'snow' --config.seed=1",
        "negative_prompt": "blur",
        "seed": 2**32 - 1,
        "quality": 0.3,
        "mesh.rows": 1,
        "mesh.fsdp": 2,
        "tile": "64",
        "steps": None,
    }
    arguments = arguments_of(rows, values)
    config = config_of([*VENHANCER, *arguments])
    changed = {row.key: row.default for row in rows_of(config)}
    for key, value in values.items():
        expected = {"target_size": (144, 256), "steps": 1}.get(key, value)
        assert changed.pop(key) == expected
    before = {row.key: row.default for row in rows}
    assert changed == {key: before[key] for key in changed}
    assert "--config.mesh.rows=1" not in arguments and "'a fox" not in "".join(arguments)
    assert command(arguments).startswith("venhancer-jax sample ")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("steps", 7.5, "steps '7.5': expected a whole number from 1 to 1000"),
        ("target_size", "12", "target_size"),
        ("codec", "divx", "codec"),
        ("max_frames", "many", "max_frames 'many': expected a whole number"),
    ],
)
def test_wrong_values_are_named(key: str, value: object, words: str):
    from venhancer_jax.pipelines.config import check_values

    arguments = arguments_of(rows_of(config_of(VENHANCER)), {key: value})
    with pytest.raises(InputError, match=words):
        check_values(config_of([*VENHANCER, *arguments]))
