"""A short input is an error at the command line, unless `allow_damaged` is set."""

from pathlib import Path

import numpy as np
import pytest
from cv2 import imread
from video.video_clips import make_video

from venhancer_jax.cli import sample
from venhancer_jax.pipelines.registry import SYSTEMS
from venhancer_jax.startup import CACHE_VARIABLE
from venhancer_jax.video import probe

CONFIG = """
from venhancer_jax.pipelines.config import enhancement_config

def get_config():
    config = enhancement_config("toy")
    config.codec = "png"
    return config.lock()
"""


def test_a_video_cut_to_a_fifth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(SYSTEMS, "toy", "pipelines.toy_system")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    Path("toy.py").write_text(CONFIG)
    noise = np.random.default_rng(0).integers(0, 200, (40, 48, 64, 3), np.uint8)
    data = make_video(Path("in.mkv"), list(noise), options={"bf": "0"}).read_bytes()
    Path("in.mkv").write_bytes(data[: len(data) // 5])
    there = probe("in.mkv").frames
    assert 5 <= there <= 9
    settings = ["--config=toy.py", "--config.input=in.mkv", "--config.output=out"]

    assert sample.main(settings) == 2
    said = capsys.readouterr().err
    assert "in.mkv: damaged: cut short: 0.3 of 1.7 s are there" in said
    assert "allow_damaged=True" in said and not Path("out").exists()

    assert sample.main([*settings, "--config.allow_damaged=True"]) == 0
    found = [imread(path) for path in sorted(Path("out").iterdir())]
    assert there - 1 <= len(found) <= there
