"""A further system is one line in the registry: config keys, help, files and plans follow."""

import re
from pathlib import Path

import numpy as np
import pytest
from cv2 import imread
from pipelines.tiny_system import clip
from video.video_clips import make_video

from venhancer_jax.cli import sample
from venhancer_jax.cli.__main__ import main
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.config import checked_config, enhancement_config, settings_of
from venhancer_jax.pipelines.registry import SYSTEMS, find_system
from venhancer_jax.settings import help_rows
from venhancer_jax.startup import CACHE_VARIABLE
from venhancer_jax.video import read_frames

CONFIG = """
from venhancer_jax.pipelines.config import enhancement_config

def get_config():
    config = enhancement_config("toy")
    config.codec = "png"
    return config.lock()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Works in a folder with a config of the toy; the toy is registered by one line."""
    monkeypatch.setitem(SYSTEMS, "toy", "pipelines.toy_system")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    Path("toy.py").write_text(CONFIG)
    make_video(Path("in.mp4"), clip(3))
    return tmp_path


def test_files_in_files_out():
    settings = ["--config=toy.py", "--config.input=in.mp4", "--config.output=out"]
    assert sample.main([*settings, "--config.brightness=7", "--config.fps_scale=2"]) == 0
    found = np.stack([imread(path)[..., ::-1] for path in sorted(Path("out").iterdir())])
    frames = np.stack([*read_frames("in.mp4")])
    nearest = frames[[0, 1, 1, 2, 2, 2]].astype(int)
    np.testing.assert_array_equal(found, np.minimum(nearest + 7, 255))


def test_its_options_are_explained(capsys: pytest.CaptureFixture):
    assert sample.main(["--config=toy.py", "--help"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"config\.brightness= +what is added to each pixel\. \(whole; 10\)", printed)
    assert "noise_aug" not in printed and "config.up_scale=" in printed


@pytest.mark.parametrize(
    ("config", "key", "message"),
    [
        ("toy.py", "brightness=300", "brightness 300: expected a whole number from 0 to 255"),
        (
            "demo", "brightness=7",
            "config.brightness: an option of system 'toy', which system 'venhancer' does not have",
        ),
        (
            "toy.py", "noise_aug=7",
            "config.noise_aug: an option of system 'venhancer', which system 'toy' does not have",
        ),
    ],
)  # fmt: skip
def test_options_of_another_system_are_wrong_input(
    config: str, key: str, message: str, capsys: pytest.CaptureFixture
):
    assert sample.main([f"--config={config}", f"--config.{key}", "--config.input=in.mp4"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_a_config_with_an_option_of_another_system():
    config = enhancement_config("toy")
    config.noise_aug = 7
    with pytest.raises(InputError, match=r"config\.noise_aug: an option of system 'venhancer'"):
        checked_config(config)


@pytest.mark.parametrize(
    "arguments",
    [
        ["sample", "--config=toy.py", "--plan=a100-1", "--plan_clip=32x48x5"],
        ["plan", "a100-1", "--config=toy.py", "--clip=32x48x5"],
    ],
)
def test_a_plan_lists_its_programs(arguments: list[str], capsys: pytest.CaptureFixture):
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "planning brighten ..." in printed
    assert "5 frames of 32x48" in printed


def test_keys_are_the_fields_of_the_settings():
    for system in ("venhancer", "toy"):
        config = enhancement_config(system)
        rows = help_rows(config, *settings_of(system))
        assert {row.key.partition(".")[0] for row in rows} == set(config) - {"system"}


def test_unknown_systems():
    with pytest.raises(
        InputError, match="system 'none': expected one of venhancer, upscale_a_video, genve, toy"
    ):
        find_system("none")
    with pytest.raises(InputError, match="unknown network 'none': expected one of vae, text"):
        catalog.config_from_dict("none", {})
    with pytest.raises(InputError, match="the sizes of the network 'vae' are None: expected a"):
        catalog.config_from_dict("vae", None)  # type: ignore[arg-type]
