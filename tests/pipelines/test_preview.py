"""A preview is three short pieces of what the whole enhancement would write, and a still."""

from pathlib import Path

import numpy as np
import pytest
from cv2 import imread
from video.video_clips import level_frames, make_video, number_of

from venhancer_jax.cli import sample
from venhancer_jax.pipelines.registry import SYSTEMS
from venhancer_jax.startup import CACHE_VARIABLE
from venhancer_jax.video import read_frames

CONFIG = """
from venhancer_jax.pipelines.config import enhancement_config

def get_config():
    config = enhancement_config("toy")
    config.window, config.up_scale, config.input, config.cuts = 4, 1.0, "in.mp4", "none"
    return config.lock()
"""
FRAMES = 20


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Works in a folder with a video whose frames get brighter."""
    monkeypatch.setitem(SYSTEMS, "toy", "pipelines.toy_system")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    Path("toy.py").write_text(CONFIG)
    make_video(Path("in.mp4"), level_frames(FRAMES))
    return tmp_path


@pytest.mark.parametrize(("codec", "output"), [("h264", "out.mp4"), ("png", "out")])
def test_pieces_and_a_still(codec: str, output: str, capsys: pytest.CaptureFixture):
    settings = ["--config=toy.py", f"--config.codec={codec}", f"--config.output={output}"]
    # A frame of the input that is 10 brighter is the next one.
    assert sample.main([*settings, "--config.brightness=10", "--preview"]) == 0
    shown = [number_of(frame) for frame in read_frames("out.preview.mp4")]
    assert shown == [1, 2, 3, 4, 9, 10, 11, 12, 17, 18, 19, 20]
    still = imread("out.preview.png")
    assert still.shape == (48, 128, 3)
    assert number_of(still[:, :64]) == 8 and number_of(still[:, 64:]) == 9
    assert sorted(path.name for path in Path().iterdir() if path.name != "cache") == [
        "in.mp4", "out.preview.mp4", "out.preview.png", "toy.py",
    ]  # fmt: skip
    printed = capsys.readouterr().out
    assert f"in.mp4 -> {output}\n" in printed and "of up to 6 input frames" in printed
    assert "  time      about 00:0" in printed


def test_the_time_of_the_whole_is_estimated(capsys: pytest.CaptureFixture):
    # 20 frames, and 2 again in each of 4 segments but the first, at a tenth of a second.
    settings = ["--config=toy.py", "--config.delay=0.1", "--config.output=out.mp4"]
    assert sample.main([*settings, "--preview"]) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("  time")]
    minutes, seconds = line.split()[2].split(":")
    assert minutes == "00" and 2 <= int(seconds) <= 9


def test_of_a_clip_that_is_shorter_than_three_pieces():
    make_video(Path("in.mp4"), level_frames(2))
    assert sample.main(["--config=toy.py", "--config.output=out.mp4", "--preview"]) == 0
    assert len([*read_frames("out.preview.mp4")]) == 2
    assert np.isfinite(imread("out.preview.png")).all()


def test_it_goes_with_one_host(capsys: pytest.CaptureFixture):
    assert sample.main(["--config=toy.py", "--config.distributed=True", "--preview"]) == 2
    assert "--preview runs on one host" in capsys.readouterr().err
