"""Every config file can be read, and says what can be done."""

import math
from pathlib import Path

import pytest

from venhancer_jax.command_line import parse_config
from venhancer_jax.errors import InputError
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
