"""The dataset that Apache Beam makes is the one that is made without it."""

import json
from pathlib import Path

import pytest

from venhancer_jax.data import prepare
from venhancer_jax.data.clips import ClipRules
from venhancer_jax.data.sources import PreparedSource
from venhancer_jax.errors import InputError

pytest.importorskip("apache_beam", reason="Apache Beam is not installed (the extra `beam`)")

from venhancer_jax.data.beam import prepare_with_beam

RULES = ClipRules(min_height=32, min_frames=6, max_frames=100, min_fps=10)
OPTIONS = ["--runner=DirectRunner"]


def _contents(folder: Path) -> dict[str, tuple]:
    source = PreparedSource(folder)
    clips = [source[i] for i in range(len(source))]
    return {clip.name: (clip.data, clip.caption, clip.facts()) for clip in clips}


def _manifest(folder: Path) -> list[dict]:
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    # The reason has the path in it.
    return [{k: v for k, v in json.loads(x).items() if k != "skipped"} for x in lines]


def test_the_same_dataset(videos: Path, tmp_path: Path):
    (videos / "two.txt").write_text("two scenes\n")
    alone, beamed = tmp_path / "alone", tmp_path / "beamed"
    expected = prepare.prepare(videos, alone, rules=RULES)

    done = prepare_with_beam(videos, beamed, rules=RULES, options=OPTIONS)

    assert done.clips == expected.clips == 3
    assert set(done.skipped) == set(expected.skipped) == {"bad.mp4"}
    assert "bad.mp4: not a video" in done.skipped["bad.mp4"]
    assert _contents(beamed) == _contents(alone)
    assert _manifest(beamed) == _manifest(alone)
    assert (beamed / "statistics.md").read_text().splitlines()[:7] == (
        (alone / "statistics.md").read_text().splitlines()[:7]
    )
    assert sorted(path.name for path in beamed.iterdir()) == [
        "clips",
        "manifest.jsonl",
        "statistics.md",
    ]


@pytest.mark.slow
def test_command_line(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = [f"--input={videos}", f"--output={tmp_path / 'out'}", "--min_height=32"]

    assert prepare.main([*arguments, "--min_frames=6", "--beam=--runner=DirectRunner"]) == 0
    assert "wrote 3 clips" in capsys.readouterr().out


def test_nothing_left(videos: Path, tmp_path: Path):
    with pytest.raises(InputError, match="none of the 3 videos gives a clip"):
        prepare_with_beam(videos, tmp_path / "out", rules=ClipRules(), options=OPTIONS)
