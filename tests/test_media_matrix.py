"""Files of every kind pass through the command, and the matrix sees what is wrong with them."""

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import pytest

from benchmarks.media.cases import Case, differences
from benchmarks.media.facts import probe_output
from benchmarks.media.run import IDENTITY, cases, run_case
from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.pipelines.jobs import list_jobs
from venhancer_jax.pipelines.registry import SYSTEMS
from venhancer_jax.startup import CACHE_VARIABLE

QUICK = [
    "variable rate.mkv",
    "variable rate, from a second on",
    "first timestamp 0.5 s, with sound.mp4",
    "interlaced h264, bottom field first",
    "interlaced, deinterlace=off",
    "bars on all sides, bars=crop",
    "rotated, pixel aspect 1:2",
    "folder of numbered pictures, picture_fps=29.97",
    "folder with a missing picture",
    "still picture to a still picture",
    "one damaged picture",
    "depth of an exr picture to exr",
    "chroma at center, yuv420p to h264",
    "subtitles of two kinds to mp4",
    "chapters cut with the pictures",
]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A config without networks."""
    monkeypatch.setitem(SYSTEMS, "identity", "benchmarks.media.identity")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    path = tmp_path / "identity.py"
    path.write_text(IDENTITY)
    return str(path)


def test_names_are_unique() -> None:
    names = [case.name for case in cases()]
    assert len(set(names)) == len(names)
    assert set(QUICK) <= set(names)


@pytest.mark.parametrize("name", QUICK)
def test_case(name: str, config: str) -> None:
    (case,) = (case for case in cases() if case.name == name)
    assert run_case(case, config, {})[1] == []


def _changed(case: Case, **expected: object) -> Case:
    facts: Mapping[str, object] = {**case.expected, **expected}
    return dataclasses.replace(case, expected=facts)


def test_a_folder_of_other_pictures_is_a_folder_of_clips(config: str, tmp_path: Path) -> None:
    names = ["cat.png", "dog.png"]
    (tmp_path / "in").mkdir()
    for name in names:
        (tmp_path / "in" / name).touch()
    settings = enhancement_config("identity")
    settings.input, settings.output = str(tmp_path / "in"), str(tmp_path / "out")
    assert list_jobs(settings) == [
        (tmp_path / "in" / name, (tmp_path / "out" / name).with_suffix(".mp4")) for name in names
    ]


def test_wrong_outputs_are_seen(config: str, tmp_path: Path) -> None:
    (case,) = (case for case in cases() if case.name == "first timestamp 0.5 s, with sound.mp4")
    facts = probe_output(case.make(tmp_path))
    assert differences(case, facts) == []
    assert differences(_changed(case, frames=29), facts) == ["frames 30, expected 29"]
    assert differences(_changed(case, rate=Fraction(24)), facts) == ["rate 25, expected 24"]
    late = dataclasses.replace(facts, sync=0.05)
    assert differences(case, late) == ["sound +0.050 s off"]
    overlapping = dataclasses.replace(facts, decode_times_rise=False)
    assert differences(case, overlapping) == ["decode times overlap"]
    refused = dataclasses.replace(case, exit_code=2)
    assert run_case(refused, config, {})[1][0].startswith("exit code 0, expected 2")
