import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from cli.sample_folder import video
from safetensors.numpy import save_file
from video.video_clips import make_video

from venhancer_jax.pipelines.venhancer import load
from venhancer_jax.startup import CACHE_VARIABLE


@pytest.fixture(scope="module")
def first_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 3 frames and 0.3 seconds, 10 frames a second."""
    return video(tmp_path_factory.mktemp("video") / "in.mp4")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_video: Path) -> Path:
    """Works in a folder with the first video, in.mp4."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.copy(first_video, "in.mp4")
    return tmp_path


@pytest.fixture(scope="module")
def wrong_files(tmp_path_factory: pytest.TempPathFactory, first_video: Path) -> Path:
    """A folder of files that are no good input."""
    folder = tmp_path_factory.mktemp("wrong")
    whole = first_video.read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video\n" * 100)
    (folder / "text.pt").write_text("no checkpoint\n" * 100)
    (folder / "blank.txt").write_text("\n")
    (folder / "nothing_here").mkdir()
    (folder / "link.mp4").symlink_to("in.mp4")
    (folder / "out.mp4").write_bytes(b"an older file")
    save_file({"some.tensor": np.zeros(3, np.float32)}, folder / "other.safetensors")
    make_video(folder / "frameless.mp4", [])
    with av.open(str(folder / "sound.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000)
        samples = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp")
        samples.sample_rate = 48000
        container.mux(stream.encode(samples) + stream.encode(None))
    return folder


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where weights are loaded."""

    def loads(*args, **kwargs):
        raise AssertionError("weights are loaded")

    monkeypatch.setattr(load, "load_venhancer", loads)
