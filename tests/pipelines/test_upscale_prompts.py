"""Texts, captions and captioners of Upscale-A-Video."""

import numpy as np
import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions
from venhancer_jax.pipelines.upscale_a_video.prompts import caption_of, find_captioner, texts_of

FRAME = np.full((4, 6, 3), 7, np.uint8)
POSITIVE, NEGATIVE = "best quality, extremely detailed", "blur, worst quality"


def brightness(frame: np.ndarray) -> str:
    return f"a frame\nof {frame.mean():g}"


def silent(frame: np.ndarray) -> None:
    del frame


def texts(**options) -> list[str]:
    return texts_of(UpscaleAVideoOptions(**options))


def test_prompts():
    assert texts() == [POSITIVE, NEGATIVE]
    assert texts(prompt="a cat") == [f"a cat, {POSITIVE}", NEGATIVE]
    assert texts(prompt="a cat", a_prompt="", negative_prompt="") == ["a cat", ""]
    assert texts(guidance_scale=1) == [POSITIVE]
    assert texts(prompt="a cat", compat="official")[0] == f"a cat{POSITIVE}"
    assert texts(guidance_scale=0.5, compat="official") == [POSITIVE]


def test_captioner():
    options = UpscaleAVideoOptions(captioner=f"{__name__}:brightness")
    assert caption_of(FRAME, options) == "a frame of 7"
    with_prompt = UpscaleAVideoOptions(captioner=f"{__name__}:brightness", prompt="a cat")
    assert caption_of(FRAME, with_prompt) == "a cat"
    assert caption_of(FRAME, UpscaleAVideoOptions()) == ""
    assert texts_of(options, caption_of(FRAME, options))[0] == f"a frame of 7, {POSITIVE}"


@pytest.mark.parametrize(
    "name", ["no_such_module:caption", f"{__name__}:gone", f"{__name__}:FRAME"]
)
def test_captioners_that_cannot_be_used(name: str):
    with pytest.raises(InputError, match=r"captioner '.*': .*a function from a frame to a text"):
        find_captioner(name)


def test_a_captioner_that_returns_no_text():
    options = UpscaleAVideoOptions(captioner=f"{__name__}:silent")
    with pytest.raises(InputError, match="returned None, expected a text"):
        caption_of(FRAME, options)
