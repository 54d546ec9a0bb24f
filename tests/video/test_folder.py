"""Which files are videos, and which prompt goes with each."""

from pathlib import Path

import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.video import is_video, list_videos, prompt_for


def _prompt(video: Path, **changes: object) -> str:
    settings = {"index": 0, "prompt": "common", "prompt_file": None, "name_as_prompt": False}
    return prompt_for(video, **(settings | changes))  # type: ignore[arg-type]


def test_videos_are_sorted_visible_files(tmp_path: Path) -> None:
    for name in ["b.mp4", "a.MKV", "c.txt", ".d.part.mp4", "e.gif"]:
        (tmp_path / name).touch()
    (tmp_path / "f.mp4").mkdir()
    assert [path.name for path in list_videos(tmp_path)] == ["a.MKV", "b.mp4", "e.gif"]
    assert not is_video(tmp_path / "missing.mp4")


def test_folder_without_videos(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match="no video"):
        list_videos(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        list_videos(tmp_path / "missing")


def test_prompt_priority(tmp_path: Path) -> None:
    video = tmp_path / "a_red-fox__runs.mp4"
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\ufefffirst\n\n  second \n", encoding="utf-8")
    assert _prompt(video) == "common"
    video.with_suffix(".txt").write_text("\nbeside\nmore\n")
    assert _prompt(video) == "beside"
    assert _prompt(video, prompt_file=prompts) == "first"
    assert _prompt(video, prompt_file=prompts, index=1) == "second"
    assert _prompt(video, prompt_file=prompts, name_as_prompt=True) == "a red fox runs"


def test_empty_prompt_beside_falls_back(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n")
    assert _prompt(tmp_path / "a.mp4") == "common"


def test_too_few_prompts(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("one\ntwo\n\n")
    with pytest.raises(InputError, match=r"2 prompts.*video number 3"):
        _prompt(tmp_path / "c.mp4", prompt_file=prompts, index=2)


def test_unreadable_prompts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        _prompt(tmp_path / "a.mp4", prompt_file=tmp_path / "missing.txt")
    latin = tmp_path / "latin.txt"
    latin.write_bytes("für\n".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        _prompt(tmp_path / "a.mp4", prompt_file=latin)
