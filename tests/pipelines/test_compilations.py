"""Other numbers compile nothing."""

from fractions import Fraction

import numpy as np
from pipelines.jax_events import COMPILE, events
from pipelines.tiny_system import clip, tiny_system

from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions

SYSTEM = tiny_system()


def enhance(**changes) -> np.ndarray:
    short = {"up_scale": 1.0, "solver_mode": "normal", "steps": 3, "guidance_scale": 3.0}
    options = VEnhancerOptions(**(short | changes))
    return np.stack([*SYSTEM.enhance(clip(3), rate=Fraction(10), options=options)])


def test_prompt_steps_and_guidance_compile_nothing():
    # A prompt that no other test has encoded: the system is shared.
    first = enhance(prompt="an owl at dusk", negative_prompt="an owl at noon")
    with events() as seen:
        second = enhance(
            prompt="a fox", negative_prompt="a hen", steps=5, guidance_scale=4.0,
            guidance_rescale=0.5, noise_aug=100, noise_levels=800, seed=1,
        )  # fmt: skip
    assert seen[COMPILE] == 0
    assert (first != second).any()
