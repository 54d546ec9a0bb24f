"""Features of prompts: computed once, by an encoder that does not stay."""

import logging
import weakref

import numpy as np
import pytest
from pipelines.tiny_system import random_params

from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.prompts import join_prompt
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures
from venhancer_jax.pipelines.venhancer.prompts import NEGATIVE, POSITIVE

CONFIG = ClipTextConfig(width=32, heads=2, layers=1)
LONG = "a red fox in deep snow, " * 10 + "then the sun sets behind a glacier"


@pytest.fixture(scope="module")
def network():
    return catalog.build("text", CONFIG)


@pytest.fixture
def loaded() -> list[weakref.ref]:
    """Every encoder that was loaded."""
    return []


@pytest.fixture
def features(network, loaded: list[weakref.ref]) -> TextFeatures:
    params = random_params(network)

    def load() -> LoadedNetwork:
        encoder = LoadedNetwork(CONFIG, network, params)
        loaded.append(weakref.ref(encoder))
        return encoder

    return TextFeatures(CONFIG, load)


def test_the_encoder_is_loaded_for_new_texts_and_freed(
    features: TextFeatures, loaded: list[weakref.ref]
):
    first = features(["a cat", "a dog"])
    assert first.shape == (2, 77, 32)
    assert len(loaded) == 1
    swapped = features(["a dog", "a cat", "a dog"])
    assert len(loaded) == 1, "known texts need no encoder"
    np.testing.assert_array_equal(swapped, np.asarray(first)[[1, 0, 1]])
    features(["a cow", "a cat"])
    assert len(loaded) == 2
    assert all(encoder() is None for encoder in loaded)


def test_a_prompt_that_is_cut_is_logged_once(
    features: TextFeatures, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        found = features([LONG, "a dog"])
        features([LONG])
        cut = features([LONG.replace("glacier", "house")])
    assert len(caplog.messages) == 2
    first = caplog.messages[0]
    assert "is too long" in first
    assert first.endswith("the text encoder does not see 'a glacier'")
    np.testing.assert_allclose(found[:1], cut, atol=1e-5)


def test_usual_prompts_are_not_cut(features: TextFeatures, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        features([join_prompt("a good video", POSITIVE), NEGATIVE])
    assert not caplog.messages
