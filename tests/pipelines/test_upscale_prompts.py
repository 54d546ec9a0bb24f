"""Texts of Upscale-A-Video."""

from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions
from venhancer_jax.pipelines.upscale_a_video.prompts import texts_of

POSITIVE, NEGATIVE = "best quality, extremely detailed", "blur, worst quality"


def texts(**options) -> list[str]:
    return texts_of(UpscaleAVideoOptions(**options))


def test_prompts():
    assert texts() == [POSITIVE, NEGATIVE]
    assert texts(prompt="a cat") == [f"a cat, {POSITIVE}", NEGATIVE]
    assert texts(prompt="a cat", a_prompt="", negative_prompt="") == ["a cat", ""]
    assert texts(guidance_scale=1) == [POSITIVE]
    assert texts(prompt="a cat", compat="official")[0] == f"a cat{POSITIVE}"
    assert texts(guidance_scale=0.5, compat="official") == [POSITIVE]
