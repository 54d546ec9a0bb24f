"""Tiny clips, with the helpers of the video tests."""

from pathlib import Path

import numpy as np
import pytest
from video.video_clips import make_video


@pytest.fixture
def scene():
    """Frames of a scene, uint8 `[64, 96, 3]`: grey noise around a level, moving sideways."""

    def make(count: int, level: int, seed: int = 0) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        texture = rng.integers(-20, 20, (64, 96 + count, 1)).repeat(3, -1) + level
        return [texture[:, i : i + 96].clip(0, 255).astype(np.uint8) for i in range(count)]

    return make


@pytest.fixture
def videos(tmp_path: Path, scene):
    """A folder: `two.mp4` of two scenes, `sub/one.mp4` of one, and `bad.mp4` of garbage."""
    folder = tmp_path / "videos"
    (folder / "sub").mkdir(parents=True)
    make_video(folder / "two.mp4", [*scene(12, 60), *scene(9, 190, 1)])
    make_video(folder / "sub" / "one.mp4", scene(14, 120, 2))
    (folder / "bad.mp4").write_bytes(b"no video at all" * 100)
    return folder
