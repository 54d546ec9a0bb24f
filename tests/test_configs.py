"""Every config file can be read, and says what can be done."""

import math
import re
from pathlib import Path

import pytest

from venhancer_jax.cli import __main__ as console
from venhancer_jax.cli.sample import parse_sample_config
from venhancer_jax.command_line import help_table, parse_config
from venhancer_jax.configs import demo, venhancer
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.config import settings_of
from venhancer_jax.settings import help_rows
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.training.step import check_batch

ROOT = Path(__file__).parents[1]
FULL = "configs/train_venhancer.py"


def _parse(config: str, *settings: str):
    return parse_config("", [f"--config={ROOT / config}", *settings], FULL)[0]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("[!_]*.py")), ids=lambda p: p.stem)
def test_every_config_can_be_read(path: Path):
    config = _parse(f"configs/{path.name}")

    assert config is not None and config.is_locked


@pytest.mark.parametrize(
    ("variant", "devices", "accumulate"), [("", 128, 1), (":tpu", 128, 1), (":gpu16", 16, 16)]
)
def test_the_full_size_fits_its_hardware(variant: str, devices: int, accumulate: int):
    config = _parse(FULL + variant, "--config.learning_rate=2e-5")

    assert config is not None
    assert (config.accumulate, config.learning_rate) == (accumulate, 2e-5)
    # What the paper has: 256 clips an update.
    assert config.batch * config.accumulate == 256
    assert config.steps // config.accumulate == 20_000
    mesh = device_mesh(config.mesh, [object()] * devices)
    assert math.prod(mesh.shape.values()) == devices and mesh.shape["fsdp"] == 8
    check_batch(config.batch, mesh)
    assert config.remat == "blocks" and config.dtype == "bfloat16"
    # The UNet halves three times, from rows of 2 modulo 8.
    assert config.height // 8 % 8 == 2 and config.width // 8 % 8 == 0


@pytest.mark.parametrize(
    ("config", "words"),
    [(f"{FULL}:gpu17", "gpu17"), (f"{FULL}x", "train_venhancer"), ("configs/demo.py:x", "demo")],
)
def test_what_is_no_variant(config: str, words: str):
    with pytest.raises(InputError, match=words):
        _parse(config)


def test_what_the_demo_asks_for():
    config, values = parse_sample_config([])
    assert config is not None and not any(values.values())
    # Twice the rate of the input, whatever it is; other systems keep the rate.
    assert (config.fps_scale, config.target_fps, config.steps) == (2.0, None, 1)
    assert venhancer.get_config().fps_scale == 1.0
    assert demo.get_config().is_locked


@pytest.mark.parametrize("name", ["demo", "venhancer"])
def test_help_explains_every_key_in_a_line(name: str, capsys: pytest.CaptureFixture):
    assert console.main(["sample", f"--config={name}", "--help"]) == 0
    printed = capsys.readouterr().out
    config = {"demo": demo, "venhancer": venhancer}[name].get_config()
    keys = {key for key in config if key not in ("system", "mesh")}
    keys |= {f"mesh.{axis}" for axis in config.mesh}
    lines = re.findall(r"^  --config\.([\w.]+)= +(.+)$", printed, re.MULTILINE)
    assert len(lines) == len(dict(lines)) and dict(lines).keys() == keys
    for key, line in lines:
        about, kind, default = re.fullmatch(r"(.+)\. \(([\w,]+); (.+)\)", line).groups()
        assert len(about) > 10 and kind, key
        value = config.mesh[key[5:]] if key.startswith("mesh.") else config[key]
        if value is None or value == "":
            assert default == "none"
        elif not isinstance(value, tuple):
            assert default == str(value)
    assert "One of: dpmpp_2m_sde, heun, ddim." in dict(lines)["solver"]
    assert re.findall(r"^([a-z ]+):$", printed, re.MULTILINE) == [
        "input and output", "size and rate", "look", "speed", "weights", "devices",
    ]  # fmt: skip


def test_table_of_options_is_current():
    """To renew it, put what this test expects between the markers."""
    rows = help_rows(venhancer.get_config(), *settings_of("venhancer"))
    text = (ROOT / "docs/options.md").read_text()
    found = re.search(r"<!-- options -->\n(.*)\n<!-- /options -->", text, re.DOTALL)
    assert found is not None and found.group(1) == help_table(rows)


def test_the_console_script_names_its_commands(capsys: pytest.CaptureFixture):
    assert console.main(["--help"]) == 0
    printed = capsys.readouterr().out
    commands = ["sample", "train", "plan", "convert", "parity", "evaluate", "report", "prepare"]
    for command in commands:
        assert f"  {command} " in printed
    assert console.main(["enhance"]) == 2
