import shutil
from pathlib import Path

import pytest
from pipelines.tiny_system import clip
from video.video_clips import make_video

from venhancer_jax.pipelines.registry import SYSTEMS

TOY = f"--config={Path(__file__).with_name('toy_page.py')}"
# Five segments of the toy.
FRAMES = 11


@pytest.fixture(scope="session")
def first_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("clip") / "in.mp4", clip(FRAMES))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command line of an app that runs the toy."""
    monkeypatch.setitem(SYSTEMS, "toy", "pipelines.toy_system")
    return [TOY]


@pytest.fixture
def work(tmp_path: Path, first_clip: Path) -> Path:
    """A work folder with a video, in.mp4."""
    (tmp_path / "work").mkdir()
    shutil.copy(first_clip, tmp_path / "work" / "in.mp4")
    return tmp_path / "work"
