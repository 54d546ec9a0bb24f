"""Prompts against those recorded from the reference implementation."""

import json
from pathlib import Path

import pytest

from venhancer_jax.pipelines.prompts import join_prompt
from venhancer_jax.pipelines.venhancer.prompts import NEGATIVE, POSITIVE

GOLDEN = Path(__file__).parents[1] / "goldens" / "venhancer" / "tokens.json"


@pytest.fixture(scope="module")
def golden() -> dict:
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_prompts_are_the_released_ones(golden: dict):
    assert golden["positive_prompt"] == POSITIVE
    assert golden["negative_prompt"] == NEGATIVE


def test_official_join_has_no_separator(golden: dict):
    assert join_prompt("a good video", POSITIVE, separated=False) == golden["texts"][0]
    assert join_prompt("", POSITIVE, separated=False) == POSITIVE


@pytest.mark.parametrize(
    ("prompt", "joined"),
    [
        ("a good video", "a good video, sharp"),
        ("a good video ", "a good video, sharp"),
        ("A good video.", "A good video. sharp"),
        ("a good video,", "a good video, sharp"),
        ("好视频。", "好视频。 sharp"),
        (" ", "sharp"),
    ],
)
def test_join_respects_punctuation(prompt: str, joined: str):
    assert join_prompt(prompt, "sharp") == joined


def test_join_with_no_positive_prompt():
    assert join_prompt("a good video", "") == "a good video"
    assert join_prompt("", "") == ""
