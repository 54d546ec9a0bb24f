"""Captions of clips without a prompt."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipelines.tiny_system import clip
from pipelines.toy_system import Toy
from video.video_clips import make_video

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.captions import caption, find_captioner
from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.pipelines.jobs import check_jobs
from venhancer_jax.pipelines.registry import SYSTEMS
from venhancer_jax.pipelines.run import enhance_file

FRAME = np.full((4, 6, 3), 7, np.uint8)
seen: list[np.ndarray] = []


def counting(frame: np.ndarray) -> str:
    seen.append(frame)
    return f"frame {len(seen)}"


def brightness(frame: np.ndarray) -> str:
    return f"a frame\nof {frame.mean():g}"


def silent(frame: np.ndarray) -> None:
    del frame


class Listening(Toy):
    """A toy that remembers the prompts of its segments, and may stop after some."""

    def __init__(self, stop_after: int = 1000):
        super().__init__(None)
        self.prompts: list[str] = []
        self._stop_after = stop_after

    def enhance_segment(self, frames: Any, *, options: Any, **more: Any) -> Any:
        self.prompts.append(options.prompt)
        if len(self.prompts) > self._stop_after:
            raise KeyboardInterrupt
        return super().enhance_segment(frames, options=options, **more)


def enhanced(system: Any, **changes: Any) -> None:
    config = enhancement_config("toy")
    ours = {"input": "in.mp4", "output": "out.mp4", "window": 4, "segment_windows": 1, "prompt": ""}
    for name, value in (ours | {"captioner": f"{__name__}:counting"} | changes).items():
        config[name] = value
    (job,), _ = check_jobs(config)
    enhance_file(system, job, {})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Works in a folder with a clip of several segments."""
    monkeypatch.setitem(SYSTEMS, "toy", "pipelines.toy_system")
    monkeypatch.chdir(tmp_path)
    seen.clear()
    make_video(Path("in.mp4"), clip(11))


def test_all_segments_have_the_caption_of_the_first_frame():
    system: Any = Listening()
    enhanced(system)
    assert len(system.prompts) > 2
    assert set(system.prompts) == {"frame 1"}
    np.testing.assert_allclose(seen[0].astype(int), clip(11)[0].astype(int), atol=40)


def test_a_prompt_needs_no_captioner():
    system: Any = Listening()
    enhanced(system, prompt="a cat")
    assert set(system.prompts) == {"a cat"}
    assert not seen


def test_another_caption_does_not_continue_a_clip():
    with pytest.raises(KeyboardInterrupt):
        enhanced(Listening(stop_after=2))
    with pytest.raises(InputError, match=r"prompt.*frame 1"):
        enhanced(Listening())
    system: Any = Listening()
    enhanced(system, prompt="frame 1")
    assert set(system.prompts) == {"frame 1"}


def test_captions():
    assert caption(f"{__name__}:brightness", FRAME) == "a frame of 7"


@pytest.mark.parametrize(
    "name", ["blip", "no_such_module:caption", f"{__name__}:gone", f"{__name__}:FRAME"]
)
def test_captioners_that_cannot_be_used(name: str):
    with pytest.raises(InputError, match=r"captioner '.*': .*a function from a frame to a text"):
        find_captioner(name)
    with pytest.raises(InputError, match=r"captioner '.*': .*a function from a frame to a text"):
        enhanced(None, captioner=name)


def test_a_captioner_that_returns_no_text():
    with pytest.raises(InputError, match="returned None, expected a text"):
        caption(f"{__name__}:silent", FRAME)
